/* Stands between a process and its disk: records what it writes and syncs, and makes writes or syncs fail.
 *
 * Built by the tests with cc -shared -fPIC and loaded with LD_PRELOAD. Environment:
 *   DISK_DIRECTORY  only files below this directory count
 *   DISK_RECORD     record to this file: every change, the begin and end of every sync, and what goes to standard output
 *   DISK_FAULT      "KIND COUNT ERRNO TIMES": KIND is write, sync, or log for writes to the file `db`; the COUNTth of
 *                   them (from 1) fails with this error, and so do those that follow, TIMES in all (0: for ever)
 *   DISK_SLOW       every sync takes so many microseconds longer
 *   DISK_HANG       while a file with this path exists, no sync ends of the file whose name it holds
 *   DISK_CURE       a fault does not happen while a file with this path exists
 *
 * A record is: one byte of kind, u32 length of the path, u64 number (offset, length or count), u64 length of the data,
 * the path, the data. A write is recorded once it is done; so what is recorded before a sync's begin is covered by it, and nothing
 * else, however many syncs are under way.
 * sync_file_range promises nothing about the disk and is not recorded.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#define FILES 65536
#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char *names[FILES];
static const char *directory, *cure, *hang;
static size_t directory_length;
static int record_fd = -1;
static uint64_t syncs;
static int fault_writes, fault_log, fault_syncs, fault_error;
static long fault_from, fault_times, seen, slow;

__attribute__((constructor)) static void begin(void) {
    directory = getenv("DISK_DIRECTORY");
    if (!directory) return;
    directory_length = strlen(directory);
    const char *record = getenv("DISK_RECORD");
    if (record) record_fd = (int)syscall(SYS_openat, AT_FDCWD, record, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    const char *fault = getenv("DISK_FAULT");
    char kind[16];
    if (fault && sscanf(fault, "%15s %ld %d %ld", kind, &fault_from, &fault_error, &fault_times) == 4) {
        fault_writes = !strcmp(kind, "write");
        fault_log = !strcmp(kind, "log");
        fault_syncs = !strcmp(kind, "sync");
    }
    cure = getenv("DISK_CURE");
    hang = getenv("DISK_HANG");
    const char *delay = getenv("DISK_SLOW");
    if (delay) slow = atol(delay);
}

static void put(const void *bytes, size_t length) {
    const char *at = bytes;
    while (length > 0) {
        ssize_t written = syscall(SYS_write, record_fd, at, length);
        if (written <= 0) abort();
        at += written;
        length -= (size_t)written;
    }
}

/* The lock must be held. */
static void record(char kind, const char *path, uint64_t number, const void *data, uint64_t length) {
    if (record_fd < 0) return;
    uint32_t path_length = (uint32_t)strlen(path);
    char head[21];
    head[0] = kind;
    memcpy(head + 1, &path_length, 4);
    memcpy(head + 5, &number, 8);
    memcpy(head + 13, &length, 8);
    put(head, sizeof head);
    put(path, path_length);
    put(data, length);
}

/* The part of a path below the directory, or none. */
static const char *below(const char *path) {
    if (!directory || !path || strncmp(path, directory, directory_length)) return NULL;
    path += directory_length;
    if (*path == 0) return path;
    return *path == '/' ? path + 1 : NULL;
}

static const char *name_of(int fd) {
    return directory && fd >= 0 && fd < FILES ? names[fd] : NULL;
}

/* Whether this write or sync is to fail; sets errno. The lock must be held. */
static int fails(int wanted) {
    if (!wanted || (cure && syscall(SYS_faccessat, AT_FDCWD, cure, F_OK) == 0)) return 0;
    seen++;
    if (seen < fault_from || (fault_times && seen >= fault_from + fault_times)) return 0;
    errno = fault_error;
    return 1;
}

/* Whether syncs of this file do not end now. */
static int hangs(const char *name) {
    const char *slash = strrchr(name, '/');
    const char *base = slash ? slash + 1 : name;
    char held[64];
    int fd = hang ? (int)syscall(SYS_openat, AT_FDCWD, hang, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return 0;
    long length = syscall(SYS_read, fd, held, sizeof held);
    syscall(SYS_close, fd);
    return length == (long)strlen(base) && !memcmp(held, base, (size_t)length);
}

static int opened(int fd, const char *path, int flags, int existed) {
    const char *name = below(path);
    if (fd < 0 || fd >= FILES || !name) return fd;
    pthread_mutex_lock(&lock);
    free(names[fd]);
    names[fd] = strdup(name);
    if ((flags & O_CREAT) && !existed) record('o', name, 0, NULL, 0);
    else if (flags & O_TRUNC) record('t', name, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    return fd;
}

static int exists(const char *path) {
    return syscall(SYS_faccessat, AT_FDCWD, path, F_OK) == 0;
}

#define OPEN(name)                                                                                                     \
    int name(const char *path, int flags, ...) {                                                                       \
        va_list rest;                                                                                                  \
        va_start(rest, flags);                                                                                         \
        mode_t mode = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(rest, mode_t) : 0;                                      \
        va_end(rest);                                                                                                  \
        int existed = below(path) ? exists(path) : 1;                                                                  \
        return opened(NEXT(name)(path, flags, mode), path, flags, existed);                                            \
    }
OPEN(open)
OPEN(open64)

int close(int fd) {
    if (name_of(fd)) {
        pthread_mutex_lock(&lock);
        free(names[fd]);
        names[fd] = NULL;
        pthread_mutex_unlock(&lock);
    }
    return NEXT(close)(fd);
}

/* A full disk takes a part of a write before it refuses: half of a faulty one is written when it is long. */
static ssize_t written(int fd, const char *name, const void *data, size_t length, off64_t offset, int moves) {
    pthread_mutex_lock(&lock);
    const char *slash = strrchr(name, '/');
    int failing = fails(fault_writes || (fault_log && !strcmp(slash ? slash + 1 : name, "db")));
    if (failing) {
        int error = errno;
        if (length >= 1024 && seen == fault_from) {
            ssize_t half = syscall(SYS_pwrite64, fd, data, length / 2, offset);
            if (half > 0) record('w', name, (uint64_t)offset, data, (uint64_t)half);
        }
        pthread_mutex_unlock(&lock);
        errno = error;
        return -1;
    }
    pthread_mutex_unlock(&lock);
    ssize_t done = moves ? syscall(SYS_write, fd, data, length) : syscall(SYS_pwrite64, fd, data, length, offset);
    if (done > 0) {
        pthread_mutex_lock(&lock);
        record('w', name, (uint64_t)offset, data, (uint64_t)done);
        pthread_mutex_unlock(&lock);
    }
    return done;
}

ssize_t write(int fd, const void *data, size_t length) {
    const char *name = name_of(fd);
    if (name) return written(fd, name, data, length, syscall(SYS_lseek, fd, 0, SEEK_CUR), 1);
    ssize_t done = NEXT(write)(fd, data, length);
    if (fd == 1 && done > 0) {
        pthread_mutex_lock(&lock);
        record('a', "", 0, data, (uint64_t)done);
        pthread_mutex_unlock(&lock);
    }
    return done;
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) {
    const char *name = name_of(fd);
    return name ? written(fd, name, data, length, offset, 0) : NEXT(pwrite)(fd, data, length, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) {
    const char *name = name_of(fd);
    return name ? written(fd, name, data, length, offset, 0) : NEXT(pwrite64)(fd, data, length, offset);
}

static int truncated(int fd, off64_t length, int result) {
    if (result == 0 && name_of(fd)) {
        pthread_mutex_lock(&lock);
        record('t', names[fd], (uint64_t)length, NULL, 0);
        pthread_mutex_unlock(&lock);
    }
    return result;
}

int ftruncate(int fd, off_t length) { return truncated(fd, length, NEXT(ftruncate)(fd, length)); }
int ftruncate64(int fd, off64_t length) { return truncated(fd, length, NEXT(ftruncate64)(fd, length)); }

static int synced(int fd, long call) {
    const char *name = name_of(fd);
    if (!name) return (int)syscall(call, fd);
    pthread_mutex_lock(&lock);
    if (fails(fault_syncs)) {
        pthread_mutex_unlock(&lock);
        return -1;
    }
    uint64_t number = ++syncs;
    record('s', name, number, NULL, 0);
    pthread_mutex_unlock(&lock);
    if (slow > 0) usleep((useconds_t)slow);
    while (hangs(name)) usleep(1000);
    int result = (int)syscall(call, fd);
    if (result == 0) {
        pthread_mutex_lock(&lock);
        record('S', name, number, NULL, 0);
        pthread_mutex_unlock(&lock);
    }
    return result;
}

int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }

static int changed(char kind, const char *path, const char *to, int result) {
    const char *name = below(path), *target = below(to);
    if (result == 0 && name) {
        pthread_mutex_lock(&lock);
        record(kind, name, 0, target, target ? strlen(target) : 0);
        pthread_mutex_unlock(&lock);
    }
    return result;
}

int rename(const char *from, const char *to) { return changed('r', from, to, NEXT(rename)(from, to)); }
int unlink(const char *path) { return changed('u', path, NULL, NEXT(unlink)(path)); }
int mkdir(const char *path, mode_t mode) { return changed('m', path, NULL, NEXT(mkdir)(path, mode)); }
