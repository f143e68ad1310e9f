/* The rules of docs/development/vddk.md#life-of-a-process and docs/development/vddk.md#threads. Real VDDK may crash,
   hang or corrupt when they are broken; the stand-in says which. */
#define _GNU_SOURCE
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "standin.h"

enum phase { NOT_STARTED, READY, GONE };

static atomic_int phase = NOT_STARTED;
static uint64_t readyTicks;
static atomic_int insideLifecycle;
static atomic_int handedOut[KIND_COUNT];

_Noreturn void broken_rule(const char *format, ...) {
  char text[512];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  trace_line("rule broken: %s", text);
  dprintf(STDERR_FILENO, "VDDK stand-in: rule broken: %s\n", text);
  abort();
}

int thread_id(void) { return (int)syscall(SYS_gettid); }

static uint64_t ticks_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_BOOTTIME, &now);
  uint64_t perSecond = (uint64_t)sysconf(_SC_CLK_TCK);
  return (uint64_t)now.tv_sec * perSecond + (uint64_t)now.tv_nsec * perSecond / 1000000000u;
}

/* Field 22 of /proc/self/task/<tid>/stat (proc(5)), counted from behind the name because a name may hold blanks. */
static uint64_t ticks_at_thread_start(void) {
  char path[64], text[1024];
  snprintf(path, sizeof path, "/proc/self/task/%d/stat", thread_id());
  FILE *file = fopen(path, "re");
  if (!file) return UINT64_MAX;
  size_t length = fread(text, 1, sizeof text - 1, file);
  fclose(file);
  text[length] = 0;
  char *at = strrchr(text, ')');
  for (int field = 2; at && field < 22; field++) at = strchr(at + 1, ' ');
  return at ? strtoull(at + 1, NULL, 10) : UINT64_MAX;
}

static void thread_must_be_younger(const char *call) {
  static _Thread_local bool checked;
  if (checked || thread_id() == getpid()) return;
  if (ticks_at_thread_start() < readyTicks) broken_rule("%s from a thread that was created before InitEx", call);
  checked = true;
}

bool may_call(const char *call) {
  switch (atomic_load(&phase)) {
    case NOT_STARTED: return false;
    case GONE: broken_rule("%s after Exit", call);
    default: thread_must_be_younger(call); return true;
  }
}

static void no_fork(void) { broken_rule("fork after InitEx: its threads do not exist in the child"); }

bool library_was_started(void) { return atomic_load(&phase) != NOT_STARTED; }

void library_is_ready(void) {
  readyTicks = ticks_now();
  pthread_atfork(no_fork, NULL, NULL);
  atomic_store(&phase, READY);
}

void library_is_gone(void) { atomic_store(&phase, GONE); }

void enter_lifecycle(const char *call) {
  if (atomic_fetch_add(&insideLifecycle, 1) != 0)
    broken_rule("%s while another thread is in Connect, Open, Close or Disconnect", call);
}

void leave_lifecycle(void) { atomic_fetch_sub(&insideLifecycle, 1); }

/* A tag in front of what is handed out; 16 bytes keep malloc's alignment. */
typedef struct { uint64_t tag, spare; } Tag;
static const uint64_t TAG = 0xd0570000cafe0000u;

void *hand_out(enum kind kind, size_t bytes) {
  Tag *tag = calloc(1, sizeof *tag + bytes);
  if (!tag) abort();
  tag->tag = TAG + kind;
  atomic_fetch_add(&handedOut[kind], 1);
  return tag + 1;
}

void take_back(enum kind kind, void *memory) {
  Tag *tag = (Tag *)memory - 1;
  if (tag->tag != TAG + kind) broken_rule("freed twice, or with the wrong Free function");
  memset(tag, 0, malloc_usable_size(tag)); /* who still reads it shall see that it is gone */
  atomic_fetch_sub(&handedOut[kind], 1);
  free(tag);
}

int still_out(enum kind kind) { return atomic_load(&handedOut[kind]); }
