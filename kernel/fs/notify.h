// inotify(7) as seen from the places where things happen; the watches are fs/inotify.c's.
#pragma once
#include "inode.h"

enum {
    NOTIFY_ACCESS = 1, NOTIFY_MODIFY = 2, NOTIFY_ATTRIB = 4, NOTIFY_CLOSE_WRITE = 8, NOTIFY_CLOSE_NOWRITE = 16, NOTIFY_OPEN = 32,
    NOTIFY_MOVED_FROM = 64, NOTIFY_MOVED_TO = 128, NOTIFY_CREATE = 256, NOTIFY_DELETE = 512, NOTIFY_DELETE_SELF = 1024,
    NOTIFY_MOVE_SELF = 2048, NOTIFY_UNMOUNT = 0x2000, NOTIFY_ISDIR = 0x40000000,
};
void inotify_event(struct inode *inode, u32 mask, u32 cookie, const char *name, u32 len);
void notify_inode(struct inode *inode, u32 mask); // on it and, with its name, on its directory
void notify_name(struct inode *dir, u32 mask, u32 cookie, const char *name, u32 len);
