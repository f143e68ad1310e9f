/* The library as a whole: start, end, error texts. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "standin.h"
#include "tls.h"

/* The bundled TLS library must be the one that answers, at both levels: without RTLD_DEEPBIND node's own does (docs/development/vddk.md#loading). */
static bool bundled_tls_answers(void) {
  return OpenSSL_version_num() == STANDIN_TLS_VERSION && standin_tls_sees_itself();
}

static VixError start(uint32_t major, uint32_t minor, const char *libDir, const char *configFile) {
  if (!bundled_tls_answers()) {
    log_warning("OpenSSL of the host program was called, not the bundled one: load this library with deep binding");
    return VIX_E_SUBSYSTEM_INIT_FAIL;
  }
  if (major > 8 || (major == 8 && minor > 0)) return VIX_E_NOT_SUPPORTED;
  if (libDir && access(libDir, R_OK | X_OK) != 0) return VIX_E_INVALID_ARG;
  return read_config(configFile);
}

VixError VixDiskLib_InitEx(uint32_t major, uint32_t minor, LogFn *log, LogFn *warn, LogFn *panic,
                           const char *libDir, const char *configFile) {
  static atomic_bool called;
  if (atomic_exchange(&called, true)) broken_rule("InitEx twice");
  if (thread_id() != getpid()) broken_rule("InitEx from a thread that is not the main thread");
  if (!log || !warn || !panic) broken_rule("NULL log function: VDDK's own are not thread-safe");
  Call call = begin_call(CALL_INIT, 0, 0, 0);
  start_log(log, warn);
  VixError error = call.planned ? call.planned : start(major, minor, libDir, configFile);
  if (error == VIX_OK) library_is_ready();
  return end_call(&call, error);
}

void VixDiskLib_Exit(void) {
  if (!library_was_started()) broken_rule("Exit without InitEx");
  if (!may_call("Exit")) return;
  if (open_disks() || open_connections())
    broken_rule("Exit with %d open disks and %d connections", open_disks(), open_connections());
  Call call = begin_call(CALL_EXIT, 0, 0, 0);
  stop_log();
  library_is_gone();
  trace_line("leaks params=%d info=%d blocks=%d text=%d", still_out(KIND_PARAMS), still_out(KIND_INFO),
             still_out(KIND_BLOCKS), still_out(KIND_TEXT));
  end_call(&call, VIX_OK);
}

const char *VixDiskLib_ListTransportModes(void) { return "file:nbdssl:nbd"; }

static const struct { unsigned code; const char *text; } TEXTS[] = {
  {VIX_OK, "no error"},
  {VIX_E_FAIL, "unknown failure"},
  {VIX_E_OUT_OF_MEMORY, "no memory left for the request"},
  {VIX_E_INVALID_ARG, "an argument is invalid"},
  {VIX_E_FILE_NOT_FOUND, "the disk does not exist"},
  {VIX_E_FILE_ACCESS_ERROR, "the disk may not be accessed in this way"},
  {VIX_E_FILE_ALREADY_LOCKED, "the disk is locked"},
  {VIX_E_AUTHENTICATION_FAIL, "the login was refused"},
  {VIX_E_NOINIT, "the library is not initialised"},
  {VIX_E_OUTOFRANGE, "the request lies outside of the disk"},
  {VIX_E_OPERATION_DISABLED, "the operation is disabled"},
};

char *VixDiskLib_GetErrorText(VixError error, const char *locale) {
  if (locale) broken_rule("GetErrorText: only the default locale exists, pass NULL");
  char text[96];
  snprintf(text, sizeof text, "stand-in's text for code %u", (unsigned)(error & 0xffff));
  for (size_t i = 0; i < sizeof TEXTS / sizeof *TEXTS; i++)
    if (TEXTS[i].code == (error & 0xffff)) snprintf(text, sizeof text, "%s", TEXTS[i].text);
  char *out = hand_out(KIND_TEXT, strlen(text) + 1);
  return strcpy(out, text);
}

void VixDiskLib_FreeErrorText(char *text) {
  if (text) take_back(KIND_TEXT, text);
}
