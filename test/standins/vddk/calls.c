/* The frame around every API call: the fault plan may answer first, the network costs time, the trace sees it. */
#include "standin.h"

static const char *const NAMES[CALL_KINDS] = {
  [CALL_INIT] = "InitEx", [CALL_EXIT] = "Exit", [CALL_PREPARE] = "PrepareForAccess", [CALL_END_ACCESS] = "EndAccess",
  [CALL_CONNECT] = "ConnectEx", [CALL_DISCONNECT] = "Disconnect", [CALL_CLEANUP] = "Cleanup", [CALL_OPEN] = "Open",
  [CALL_CLOSE] = "Close", [CALL_GET_INFO] = "GetInfo", [CALL_READ] = "Read", [CALL_WRITE] = "Write",
  [CALL_FLUSH] = "Flush", [CALL_READ_ASYNC] = "ReadAsync", [CALL_WRITE_ASYNC] = "WriteAsync", [CALL_WAIT] = "Wait",
  [CALL_QUERY] = "QueryAllocatedBlocks",
};

const char *call_name(enum call_kind kind) { return NAMES[kind]; }

Call begin_call(enum call_kind kind, int handle, SectorType start, SectorType count) {
  Call call = {.kind = kind, .startNs = now_ns(), .handle = handle};
  call.offsetBytes = start * SECTOR_BYTES;
  call.lengthBytes = count * SECTOR_BYTES;
  pace_latency();
  call.planned = planned_fault(kind);
  return call;
}

VixError end_call(const Call *call, VixError result) {
  trace_call(call, (unsigned)(result & 0xffff));
  if (result == VIX_OK || result == VIX_ASYNC) return result;
  /* Real errors carry more than the code; odd ones go beyond 2^53 so that both of koffi's number forms are met. */
  return result | (result & 1 ? 0x80c1ull << 48 : 0x0a11ull << 16);
}
