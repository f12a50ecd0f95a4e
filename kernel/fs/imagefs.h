// The image behind the root file system: its index, and the chunks that come from the host on demand.
#pragma once
#include "inode.h"

struct image_entry { // docs/image.md
    u32 name_off;
    u16 name_len, mode;
    u32 uid, gid;
    u64 size;
    i64 mtime_s;
    u32 first, count, link, reserved;
};
must_check i64 image_open(const u8 *index, u32 len); // sets kernel->image. -EINVAL when it is malformed
const struct image_entry *image_entry(u32 number);
u32 image_entries(void);
const char *image_string(u32 offset);
u32 image_subdirs(const struct image_entry *dir);
// Hard links: the inode already made for link number `link` (no reference taken), NULL before image_link_set.
struct inode *image_link(u32 link, u32 *count);
void image_link_set(u32 link, struct inode *inode); // keeps a reference: the name may be loaded later
// Page `index` of the file that entry `number` backs: asks the host for its chunk once and waits.
must_check i64 image_page(struct task *task, struct inode *inode, u32 number, u64 index);
// deliver.c: BLOCK_IN.
void image_block_in(u32 chunk, i32 error, const u8 *data, u32 len);
