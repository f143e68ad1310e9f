/* Disks as the vCenter simulator keeps them: FAKE_VDDK_ROOT/<datastore>/fcd/<id>-flat.vmdk and <id>-<snapshot>-snap.vmdk. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "standin.h"

static const char *root_folder(void) {
  const char *root = getenv("FAKE_VDDK_ROOT");
  if (!root || !*root) broken_rule("FAKE_VDDK_ROOT is not set: the stand-in does not know where the disks are");
  return root;
}

/* Names become parts of paths: no way out of the folder. */
bool plain_name(const char *name) { return name && *name && *name != '.' && !strchr(name, '/') && !strchr(name, ':'); }

/* The descriptor's `RW <sectors> VMFS "..."` line; 0 when there is no descriptor. */
static SectorType described_sectors(const char *folder, const char *id) {
  char path[PATH_MAX], line[512];
  snprintf(path, sizeof path, "%s/%s.vmdk", folder, id);
  FILE *file = fopen(path, "re");
  if (!file) return 0;
  unsigned long long sectors = 0;
  while (sectors == 0 && fgets(line, sizeof line, file))
    if (sscanf(line, "RW %llu", &sectors) != 1) sectors = 0;
  fclose(file);
  return sectors;
}

/* VMFS locks an open disk: any number of readers, or one writer. flock gives that to threads and processes alike. */
static VixError lock_disk(int fd, bool writable) {
  if (number_setting("FAKE_VDDK_NO_LOCK", 0)) return VIX_OK;
  if (flock(fd, (writable ? LOCK_EX : LOCK_SH) | LOCK_NB) == 0) return VIX_OK;
  return errno == EWOULDBLOCK ? VIX_E_FILE_ALREADY_LOCKED : VIX_E_FILE_ACCESS_ERROR;
}

static VixError not_there(const char *snapshot) {
  if (errno != ENOENT && errno != ENOTDIR) return VIX_E_FILE_ACCESS_ERROR;
  return snapshot ? VIX_E_SNAPSHOT_NOTFOUND : VIX_E_FILE_NOT_FOUND;
}

VixError open_store(const char *datastore, const char *id, const char *snapshot, bool writable, Store *out) {
  char folder[PATH_MAX / 2], path[PATH_MAX];
  snprintf(folder, sizeof folder, "%s/%s/fcd", root_folder(), datastore);
  if (snapshot) snprintf(path, sizeof path, "%s/%s-%s-snap.vmdk", folder, id, snapshot);
  else snprintf(path, sizeof path, "%s/%s-flat.vmdk", folder, id);
  if (snapshot && writable) return VIX_E_FILE_ACCESS_ERROR;

  int fd = open(path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);
  if (fd < 0) return not_there(snapshot);
  struct stat file;
  VixError error = fstat(fd, &file) == 0 ? lock_disk(fd, writable) : VIX_E_FILE_ERROR;
  if (error != VIX_OK) {
    close(fd);
    return error;
  }
  SectorType described = described_sectors(folder, id);
  out->fd = fd;
  out->capacity = described ? described : (SectorType)file.st_size / SECTOR_BYTES;
  return VIX_OK;
}

void close_store(Store *store) {
  close(store->fd);
  store->fd = -1;
}

/* What the file does not hold (yet) reads as zeros: a fresh disk's flat file is empty. */
VixError store_read(const Store *store, SectorType start, SectorType count, uint8_t *into) {
  size_t wanted = count * SECTOR_BYTES, got = 0;
  while (got < wanted) {
    ssize_t n = pread(store->fd, into + got, wanted - got, (off_t)(start * SECTOR_BYTES + got));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return VIX_E_FILE_ERROR;
    if (n == 0) break;
    got += (size_t)n;
  }
  memset(into + got, 0, wanted - got);
  return VIX_OK;
}

VixError store_write(const Store *store, SectorType start, SectorType count, const uint8_t *from) {
  size_t wanted = count * SECTOR_BYTES, done = 0;
  while (done < wanted) {
    ssize_t n = pwrite(store->fd, from + done, wanted - done, (off_t)(start * SECTOR_BYTES + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return VIX_E_FILE_ERROR;
    done += (size_t)n;
  }
  return VIX_OK;
}

VixError store_flush(const Store *store) { return fdatasync(store->fd) == 0 ? VIX_OK : VIX_E_FILE_ERROR; }

bool store_next_data(const Store *store, uint64_t fromByte, uint64_t *start, uint64_t *end) {
  off_t data = lseek(store->fd, (off_t)fromByte, SEEK_DATA);
  if (data < 0) return false; /* ENXIO: only holes from here on, or behind the end */
  off_t hole = lseek(store->fd, data, SEEK_HOLE);
  *start = (uint64_t)data;
  *end = hole < 0 ? store->capacity * SECTOR_BYTES : (uint64_t)hole;
  return true;
}

static void marker_path(char path[PATH_MAX], const char *datastore, const char *id) {
  char folder[PATH_MAX / 2];
  const char *state = getenv("FAKE_VDDK_STATE");
  if (state && *state) snprintf(folder, sizeof folder, "%s", state);
  else snprintf(folder, sizeof folder, "%s/.vddk-prepared", root_folder());
  mkdir(folder, 0755);
  snprintf(path, PATH_MAX, "%s/%s+%s", folder, datastore, id);
}

/* The mark outlives a crash, as the disabled methods in a vCenter do (docs/development/vddk.md#prepareforaccess-and-endaccess).
   It is a symbolic link that leads to the identity, because that is made in one step: of a file, a process that is killed could leave
   the name without the text. */
VixError mark_prepared(const char *datastore, const char *id, const char *identity) {
  char path[PATH_MAX];
  marker_path(path, datastore, id);
  if (symlink(identity, path) == 0) return VIX_OK;
  return errno == EEXIST ? VIX_E_OPERATION_DISABLED : VIX_E_FAIL;
}

/* Only who prepared may end it: the identity has to be the same. Nothing prepared is fine. */
VixError clear_prepared(const char *datastore, const char *id, const char *identity) {
  char path[PATH_MAX], by[128] = "";
  marker_path(path, datastore, id);
  ssize_t length = readlink(path, by, sizeof by - 1);
  if (length < 0) return errno == ENOENT ? VIX_OK : VIX_E_FAIL;
  if (strcmp(by, identity) != 0) return VIX_E_INVALID_ARG;
  return unlink(path) == 0 || errno == ENOENT ? VIX_OK : VIX_E_FAIL;
}
