/* Allocated blocks, from the holes of the disk's file, rounded out to the caller's chunks (docs/development/vddk.md#allocated-blocks). */
#define _GNU_SOURCE
#include <stdlib.h>

#include "standin.h"

typedef struct {
  Block *blocks;
  uint32_t count, room;
} Runs;

static VixError check_query(const Handle *handle, SectorType start, SectorType count, SectorType chunk) {
  if (chunk < MIN_CHUNK_SECTORS || chunk > MAX_CHUNK_SECTORS) return VIX_E_INVALID_ARG;
  if (count == 0 || start % chunk || count % chunk || count / chunk > MAX_CHUNKS) return VIX_E_INVALID_ARG;
  if (start >= handle->store.capacity || count > handle->store.capacity - start) return VIX_E_OUTOFRANGE;
  return VIX_OK;
}

/* Appends a run; one that touches the last is joined with it. */
static void add_run(Runs *runs, SectorType from, SectorType to) {
  Block *last = runs->count ? &runs->blocks[runs->count - 1] : NULL;
  if (last && from <= last->offset + last->length) {
    if (to > last->offset + last->length) last->length = to - last->offset;
    return;
  }
  if (runs->count == runs->room) {
    runs->room = runs->room ? runs->room * 2 : 64;
    runs->blocks = realloc(runs->blocks, runs->room * sizeof *runs->blocks);
    if (!runs->blocks) abort();
  }
  runs->blocks[runs->count++] = (Block){from, to - from};
}

static Runs find_runs(const Handle *handle, SectorType start, SectorType count, SectorType chunk) {
  Runs runs = {0};
  SectorType end = start + count;
  uint64_t chunkBytes = chunk * SECTOR_BYTES, at = start * SECTOR_BYTES, dataStart, dataEnd;
  while (at < end * SECTOR_BYTES && store_next_data(&handle->store, at, &dataStart, &dataEnd)) {
    SectorType from = dataStart / chunkBytes * chunk, to = (dataEnd + chunkBytes - 1) / chunkBytes * chunk;
    if (from >= end) break;
    add_run(&runs, from < start ? start : from, to > end ? end : to);
    at = dataEnd;
  }
  return runs;
}

static BlockList *as_list(const Runs *runs) {
  BlockList *list = hand_out(KIND_BLOCKS, sizeof *list + runs->count * sizeof(Block));
  list->numBlocks = runs->count;
  for (uint32_t i = 0; i < runs->count; i++) list->blocks[i] = runs->blocks[i];
  return list;
}

VixError VixDiskLib_QueryAllocatedBlocks(Handle *handle, SectorType start, SectorType count, SectorType chunk,
                                         BlockList **out) {
  if (!may_call("QueryAllocatedBlocks")) return VIX_E_NOINIT;
  take_handle(handle, "QueryAllocatedBlocks");
  Call call = begin_call(CALL_QUERY, handle->number, start, count);
  VixError error = call.planned ? call.planned : out ? check_query(handle, start, count, chunk) : VIX_E_INVALID_ARG;
  if (error == VIX_OK) {
    Runs runs = find_runs(handle, start, count, chunk);
    *out = as_list(&runs);
    free(runs.blocks);
  }
  release_handle(handle);
  return end_call(&call, error);
}

VixError VixDiskLib_FreeBlockList(BlockList *list) {
  if (!list) return VIX_E_INVALID_ARG;
  take_back(KIND_BLOCKS, list);
  return VIX_OK;
}
