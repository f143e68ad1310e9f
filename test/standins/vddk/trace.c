/* The account of all calls: one line each, appended to the file named by FAKE_VDDK_TRACE. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "standin.h"

static int traceFd = -1;
static pthread_once_t opened = PTHREAD_ONCE_INIT;

static void open_trace(void) {
  const char *path = getenv("FAKE_VDDK_TRACE");
  if (!path || !*path) return;
  traceFd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
  if (traceFd < 0) dprintf(STDERR_FILENO, "VDDK stand-in: cannot write the trace %s: %m\n", path);
}

/* One write per line: with O_APPEND the lines of several threads and processes do not mix. */
void trace_line(const char *format, ...) {
  pthread_once(&opened, open_trace);
  if (traceFd < 0) return;
  char line[640];
  va_list args;
  va_start(args, format);
  int length = vsnprintf(line, sizeof line - 1, format, args);
  va_end(args);
  if (length > (int)sizeof line - 2) length = (int)sizeof line - 2;
  line[length++] = '\n';
  if (write(traceFd, line, (size_t)length) != length) dprintf(STDERR_FILENO, "VDDK stand-in: trace: %m\n");
}

void trace_call(const Call *call, unsigned code) {
  trace_line("%s code=%u tid=%d pid=%d handle=%d offset=%" PRIu64 " bytes=%" PRIu64 " us=%" PRIu64, call_name(call->kind),
             code, thread_id(), (int)getpid(), call->handle, call->offsetBytes, call->lengthBytes,
             (now_ns() - call->startNs) / 1000);
}
