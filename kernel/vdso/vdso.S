# The vDSO: what every program finds mapped at AT_SYSINFO_EHDR. A shared object with Linux's names and
# version. The entry point of the file is __vdso_rt_sigreturn: the kernel reads it from the ELF header.
#
# rdtime counts virtual nanoseconds of CLOCK_MONOTONIC, so the monotonic clocks need no system call; the others do.
    .text
    .option norvc

    .set SYS_rt_sigreturn, 139
    .set SYS_clock_gettime, 113
    .set SYS_clock_getres, 114
    .set SYS_gettimeofday, 169
    .set SYS_getcpu, 168
    .set SYS_riscv_hwprobe, 258
    .set SYS_riscv_flush_icache, 259

# Signal handlers return here with sp at the frame: 128 bytes of siginfo, then ucontext with the registers at 176.
# Unwinders look at the instruction before the return address too, so the function is entered by a nop.
    .set CONTEXT, 128 + 176
    .cfi_startproc
    .cfi_signal_frame
    .cfi_return_column 64
    .cfi_def_cfa 2, CONTEXT
    .cfi_offset 64, 0
    .irp n, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    .cfi_offset \n, \n * 8
    .endr
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    .cfi_offset 32 + \n, 256 + \n * 8
    .endr
    nop
    .globl __vdso_rt_sigreturn
    .type __vdso_rt_sigreturn, @function
__vdso_rt_sigreturn:
    li a7, SYS_rt_sigreturn
    ecall
    .cfi_endproc
    .size __vdso_rt_sigreturn, . - __vdso_rt_sigreturn

    .macro call_kernel name, nr
    .globl \name
    .type \name, @function
\name:
    .cfi_startproc
    li a7, \nr
    ecall
    ret
    .cfi_endproc
    .size \name, . - \name
    .endm

# CLOCK_MONOTONIC 1, MONOTONIC_RAW 4, MONOTONIC_COARSE 6.
    .globl __vdso_clock_gettime
    .type __vdso_clock_gettime, @function
__vdso_clock_gettime:
    .cfi_startproc
    li t0, 6
    bgtu a0, t0, 1f
    li t1, 1 << 1 | 1 << 4 | 1 << 6
    srl t1, t1, a0
    andi t1, t1, 1
    beqz t1, 1f
    rdtime t0
    li t1, 1000000000
    divu t2, t0, t1
    remu t3, t0, t1
    sd t2, 0(a1)
    sd t3, 8(a1)
    li a0, 0
    ret
1:  li a7, SYS_clock_gettime
    ecall
    ret
    .cfi_endproc
    .size __vdso_clock_gettime, . - __vdso_clock_gettime

    call_kernel __vdso_clock_getres, SYS_clock_getres
    call_kernel __vdso_gettimeofday, SYS_gettimeofday
    call_kernel __vdso_getcpu, SYS_getcpu
    call_kernel __vdso_flush_icache, SYS_riscv_flush_icache
    call_kernel __vdso_riscv_hwprobe, SYS_riscv_hwprobe
