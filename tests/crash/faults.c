/* A disk that fails: every k-th system call on files below a folder.
 *
 * LD_PRELOAD this. FAULT_FOLDER is the folder, FAULT_EVERY is k, FAULT_FIRST the number of the first call that
 * fails, FAULT_CALLS the names of the calls that may fail ("open,write,fsync"), FAULT_ERRORS what with
 * ("5,28": numbers of errno, taken in turns; 0 is a short write), FAULT_LOG a file that gets a line for each.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static atomic_long calls_seen;

static long number_of(const char *name, long otherwise) {
    const char *value = getenv(name);
    return value ? atol(value) : otherwise;
}

static int is_below(const char *path) {
    const char *folder = getenv("FAULT_FOLDER");
    size_t length = folder ? strlen(folder) : 0;
    return length && strncmp(path, folder, length) == 0 && (path[length] == '/' || path[length] == 0);
}

static int is_open_below(int descriptor) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return is_below(path);
}

static int path_at_is_below(int folder, const char *path) {
    return path[0] == '/' ? is_below(path) : folder >= 0 && is_open_below(folder);
}

static int may_fail(const char *call) {
    const char *names = getenv("FAULT_CALLS");
    const char *found = names ? strstr(names, call) : NULL;
    size_t length = strlen(call);
    while (found) {
        int begins = found == names || found[-1] == ',';
        if (begins && (found[length] == ',' || found[length] == 0)) return 1;
        found = strstr(found + 1, call);
    }
    return 0;
}

/* Return -1: go on; 0: a short write; else the errno to fail with. */
static int fault(const char *call, const char *shown) {
    long every = number_of("FAULT_EVERY", 0), first = number_of("FAULT_FIRST", 1);
    if (every <= 0 || !may_fail(call)) return -1;
    long number = atomic_fetch_add(&calls_seen, 1) + 1;
    if (number < first || (number - first) % every) return -1;
    int errors[16], count = 0;
    char list[128];
    snprintf(list, sizeof list, "%s", getenv("FAULT_ERRORS") ? getenv("FAULT_ERRORS") : "5");
    char *rest = NULL;
    for (char *item = strtok_r(list, ",", &rest); item && count < 16; item = strtok_r(NULL, ",", &rest))
        errors[count++] = atoi(item);
    int chosen = errors[((number - first) / every) % count];
    const char *log = getenv("FAULT_LOG");
    if (log) {
        char line[PATH_MAX + 64];
        int length = snprintf(line, sizeof line, "%ld %s %d %s\n", number, call, chosen, shown);
        int file = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_APPEND | O_CREAT, 0600);
        if (file >= 0) {
            syscall(SYS_write, file, line, length);
            syscall(SYS_close, file);
        }
    }
    return chosen;
}

/* A short write is no way for other calls to fail. */
static int failure(const char *call, const char *shown) {
    int chosen = fault(call, shown);
    return chosen == 0 ? EIO : chosen;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define FAIL(code) do { errno = (code); return -1; } while (0)

#define OPEN(name)                                                            \
    int name(const char *path, int flags, ...) {                              \
        va_list arguments;                                                    \
        va_start(arguments, flags);                                           \
        mode_t mode = va_arg(arguments, mode_t);                              \
        va_end(arguments);                                                    \
        int code = is_below(path) ? failure("open", path) : -1;               \
        if (code > 0) FAIL(code);                                             \
        return REAL(name)(path, flags, mode);                                 \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                          \
    int name(int folder, const char *path, int flags, ...) {                  \
        va_list arguments;                                                    \
        va_start(arguments, flags);                                           \
        mode_t mode = va_arg(arguments, mode_t);                              \
        va_end(arguments);                                                    \
        int code = path_at_is_below(folder, path) ? failure("open", path) : -1; \
        if (code > 0) FAIL(code);                                             \
        return REAL(name)(folder, path, flags, mode);                         \
    }
OPENAT(openat)
OPENAT(openat64)

ssize_t write(int descriptor, const void *bytes, size_t count) {
    int code = is_open_below(descriptor) ? fault("write", "") : -1;
    if (code > 0) FAIL(code);
    return REAL(write)(descriptor, bytes, code == 0 && count > 1 ? count / 2 : count);
}

#define PWRITE(name, offset_type)                                             \
    ssize_t name(int descriptor, const void *bytes, size_t count, offset_type offset) { \
        int code = is_open_below(descriptor) ? fault("write", "") : -1;       \
        if (code > 0) FAIL(code);                                             \
        return REAL(name)(descriptor, bytes, code == 0 && count > 1 ? count / 2 : count, offset); \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

#define ON_DESCRIPTOR(name, call)                                             \
    int name(int descriptor) {                                                \
        int code = is_open_below(descriptor) ? failure(call, "") : -1;        \
        if (code > 0) FAIL(code);                                             \
        return REAL(name)(descriptor);                                        \
    }
ON_DESCRIPTOR(fsync, "fsync")
ON_DESCRIPTOR(fdatasync, "fsync")

#define TRUNCATE(name, offset_type)                                           \
    int name(int descriptor, offset_type size) {                              \
        int code = is_open_below(descriptor) ? failure("ftruncate", "") : -1; \
        if (code > 0) FAIL(code);                                             \
        return REAL(name)(descriptor, size);                                  \
    }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)

/* posix_fallocate returns the error and leaves errno alone. */
#define ALLOCATE(name, offset_type)                                           \
    int name(int descriptor, offset_type offset, offset_type size) {          \
        int code = is_open_below(descriptor) ? failure("fallocate", "") : -1; \
        if (code > 0) return code;                                            \
        return REAL(name)(descriptor, offset, size);                          \
    }
ALLOCATE(posix_fallocate, off_t)
ALLOCATE(posix_fallocate64, off64_t)

int rename(const char *from, const char *to) {
    int code = is_below(to) ? failure("rename", to) : -1;
    if (code > 0) FAIL(code);
    return REAL(rename)(from, to);
}

int unlink(const char *path) {
    int code = is_below(path) ? failure("unlink", path) : -1;
    if (code > 0) FAIL(code);
    return REAL(unlink)(path);
}

int unlinkat(int folder, const char *path, int flags) {
    int code = path_at_is_below(folder, path) ? failure("unlink", path) : -1;
    if (code > 0) FAIL(code);
    return REAL(unlinkat)(folder, path, flags);
}
