/* Open disks and synchronous transfers. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "standin.h"

static const uint64_t MAGIC = 0xd15c0be4d15c0be4u, DEAD = 0xdeadd15cdeadd15cu;
static const uint32_t KNOWN_FLAGS = OPEN_UNBUFFERED | OPEN_SINGLE_LINK | OPEN_READ_ONLY | OPEN_COMPRESSION_MASK;
/* Disks in parallel per ESXi host, and the largest request, as VMware advises (docs/development/vddk.md#sizes-and-limits). */
static const uint64_t DEFAULT_MOST_HANDLES = 50;
static const uint64_t DEFAULT_MOST_REQUEST_BYTES = 2ull << 20;

static atomic_int openCount, lastNumber;

int open_disks(void) { return atomic_load(&openCount); }

Handle *take_handle(Handle *handle, const char *call) {
  if (!handle) broken_rule("%s: no handle", call);
  if (handle->magic == DEAD) broken_rule("%s: disk %d was closed", call, handle->number);
  if (handle->magic != MAGIC) broken_rule("%s: this is no disk handle", call);
  if (atomic_exchange(&handle->busy, true)) broken_rule("%s: another thread is in disk %d", call, handle->number);
  return handle;
}

void release_handle(Handle *handle) { atomic_store(&handle->busy, false); }

VixError check_range(const Handle *handle, SectorType start, SectorType count, const void *buffer) {
  uint64_t most = number_setting("FAKE_VDDK_MAX_REQUEST_BYTES", DEFAULT_MOST_REQUEST_BYTES) / SECTOR_BYTES;
  if (!buffer || count == 0 || count > most) return VIX_E_INVALID_ARG;
  if (start >= handle->store.capacity || count > handle->store.capacity - start) return VIX_E_OUTOFRANGE;
  return VIX_OK;
}

static VixError open_disk(Connection *connection, uint32_t flags, Handle **out) {
  /* Neither a wrong certificate nor too large AIO buffers are found before Open (code 1, docs/development/vddk.md#error-codes). */
  if (connection->wrongThumbprint || config_asks_too_much()) return VIX_E_FAIL;
  if (atomic_load(&openCount) >= (int)number_setting("FAKE_VDDK_MAX_HANDLES", DEFAULT_MOST_HANDLES)) return VIX_E_OUT_OF_MEMORY;
  Handle *handle = calloc(1, sizeof *handle);
  if (!handle) return VIX_E_OUT_OF_MEMORY;
  handle->writable = !(flags & OPEN_READ_ONLY) && !connection->readOnly;
  VixError error = open_store(connection->datastore, connection->id, connection->snapshot, handle->writable, &handle->store);
  if (error != VIX_OK) {
    free(handle);
    return error;
  }
  handle->magic = MAGIC;
  handle->number = atomic_fetch_add(&lastNumber, 1) + 1;
  handle->connection = connection;
  atomic_fetch_add(&connection->openHandles, 1);
  atomic_fetch_add(&openCount, 1);
  *out = handle;
  return VIX_OK;
}

VixError VixDiskLib_Open(Connection *connection, const char *path, uint32_t flags, Handle **out) {
  if (!may_call("Open")) return VIX_E_NOINIT;
  enter_lifecycle("Open");
  checked_connection(connection, "Open");
  Call call = begin_call(CALL_OPEN, 0, 0, 0);
  VixError error = call.planned;
  /* A First Class Disk is named by the connection, so the path is "" (docs/development/vddk.md#connections). */
  if (error == VIX_OK && (!path || *path || !out || (flags & ~KNOWN_FLAGS))) error = VIX_E_INVALID_ARG;
  if (error == VIX_OK) error = open_disk(connection, flags, out);
  if (error == VIX_OK) call.handle = (*out)->number;
  leave_lifecycle();
  return end_call(&call, error);
}

VixError VixDiskLib_Close(Handle *handle) {
  if (!may_call("Close")) return VIX_E_NOINIT;
  enter_lifecycle("Close");
  take_handle(handle, "Close");
  if (!async_is_idle(handle)) broken_rule("Close of disk %d with transfers under way: Wait first", handle->number);
  Call call = begin_call(CALL_CLOSE, handle->number, 0, 0);
  stop_async(handle);
  close_store(&handle->store);
  handle->magic = DEAD; /* never freed: a later use is found out for sure */
  atomic_fetch_sub(&handle->connection->openHandles, 1);
  atomic_fetch_sub(&openCount, 1);
  leave_lifecycle();
  return end_call(&call, call.planned);
}

VixError VixDiskLib_GetInfo(Handle *handle, Info **out) {
  if (!may_call("GetInfo")) return VIX_E_NOINIT;
  take_handle(handle, "GetInfo");
  Call call = begin_call(CALL_GET_INFO, handle->number, 0, 0);
  VixError error = call.planned ? call.planned : out ? VIX_OK : VIX_E_INVALID_ARG;
  if (error == VIX_OK) {
    Info *info = hand_out(KIND_INFO, sizeof *info);
    info->capacity = handle->store.capacity;
    info->adapterType = 3; /* LSILOGIC */
    info->numLinks = 1;
    info->uuid = handle->connection->id;
    info->logicalSectorSize = info->physicalSectorSize = SECTOR_BYTES;
    *out = info;
  }
  release_handle(handle);
  return end_call(&call, error);
}

void VixDiskLib_FreeInfo(Info *info) {
  if (info) take_back(KIND_INFO, info);
}

const char *VixDiskLib_GetTransportMode(Handle *handle) {
  take_handle(handle, "GetTransportMode");
  const char *transport = handle->connection->transport;
  release_handle(handle);
  return transport;
}

/* A handle is synchronous or asynchronous from its first transfer on (code 26000, docs/development/vddk.md#error-codes). */
static VixError only_sync(Handle *handle) {
  if (handle->mode == IO_ASYNC) return VIX_E_ASYNC_MIXEDMODE_UNSUPPORTED;
  handle->mode = IO_SYNC;
  return VIX_OK;
}

VixError VixDiskLib_Read(Handle *handle, SectorType start, SectorType count, uint8_t *buffer) {
  if (!may_call("Read")) return VIX_E_NOINIT;
  take_handle(handle, "Read");
  Call call = begin_call(CALL_READ, handle->number, start, count);
  VixError error = call.planned ? call.planned : only_sync(handle);
  if (error == VIX_OK) error = check_range(handle, start, count, buffer);
  if (error == VIX_OK) pace_bytes(count * SECTOR_BYTES);
  if (error == VIX_OK) error = store_read(&handle->store, start, count, buffer);
  release_handle(handle);
  return end_call(&call, error);
}

VixError VixDiskLib_Write(Handle *handle, SectorType start, SectorType count, const uint8_t *buffer) {
  if (!may_call("Write")) return VIX_E_NOINIT;
  take_handle(handle, "Write");
  Call call = begin_call(CALL_WRITE, handle->number, start, count);
  VixError error = call.planned ? call.planned : only_sync(handle);
  if (error == VIX_OK && !handle->writable) error = VIX_E_FILE_ACCESS_ERROR;
  if (error == VIX_OK) error = check_range(handle, start, count, buffer);
  if (error == VIX_OK) pace_bytes(count * SECTOR_BYTES);
  if (error == VIX_OK) error = store_write(&handle->store, start, count, buffer);
  release_handle(handle);
  return end_call(&call, error);
}

VixError VixDiskLib_Flush(Handle *handle) {
  if (!may_call("Flush")) return VIX_E_NOINIT;
  take_handle(handle, "Flush");
  if (!async_is_idle(handle)) broken_rule("Flush of disk %d with transfers under way: Wait first", handle->number);
  Call call = begin_call(CALL_FLUSH, handle->number, 0, 0);
  VixError error = call.planned ? call.planned : store_flush(&handle->store);
  release_handle(handle);
  return end_call(&call, error);
}
