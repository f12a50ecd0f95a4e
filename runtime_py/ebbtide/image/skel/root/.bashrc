# For interactive shells: prompt, colours, history.
case $- in
    *i*) ;;
    *) return ;;
esac

HISTSIZE=5000
HISTFILESIZE=10000
HISTCONTROL=ignoreboth
shopt -s histappend checkwinsize

case $TERM in
    *color*|xterm*|screen*|tmux*)
        PS1='\[\e[1;32m\]\u@\h\[\e[0m\]:\[\e[1;34m\]\w\[\e[0m\]\$ '
        alias ls='ls --color=auto'
        alias grep='grep --color=auto'
        alias diff='diff --color=auto'
        ;;
    *)
        PS1='\u@\h:\w\$ '
        ;;
esac
alias ll='ls -l'
alias la='ls -A'
