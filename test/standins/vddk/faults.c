/*
 * The fault plan: the file named by FAKE_VDDK_FAULTS, read again at every call, so a test can change it at any time.
 * One fault a line: `Read 5 14011` (the 5th Read), `Read 5+ 14011` (from the 5th on), `Read * 14011` (all);
 * instead of a code `sleep:250` (milliseconds, then the call goes on) or `crash`. `#` starts a comment.
 * Calls are counted from the moment the plan last changed.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "standin.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct stat seenPlan;
static uint64_t counts[CALL_KINDS];

static bool same_plan(const struct stat *a, const struct stat *b) {
  return a->st_ino == b->st_ino && a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
         a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* The plan's text, empty when there is no file. Counting starts over when it is another plan than before. */
static size_t read_plan(const char *path, char *text, size_t size) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  struct stat now = {0};
  ssize_t length = 0;
  if (fd >= 0) {
    if (fstat(fd, &now) != 0) memset(&now, 0, sizeof now);
    length = read(fd, text, size - 1);
    close(fd);
  }
  if (!same_plan(&now, &seenPlan)) memset(counts, 0, sizeof counts);
  seenPlan = now;
  text[length > 0 ? length : 0] = 0;
  return length > 0 ? (size_t)length : 0;
}

static bool known_call(const char *name) {
  for (int kind = 0; kind < CALL_KINDS; kind++)
    if (strcmp(name, call_name(kind)) == 0) return true;
  return false;
}

static bool number_matches(const char *when, uint64_t nth) {
  if (strcmp(when, "*") == 0) return true;
  char *rest;
  uint64_t n = strtoull(when, &rest, 10);
  if (rest == when || n == 0) broken_rule("fault plan: '%s' is no call number", when);
  return *rest == '+' ? nth >= n : nth == n;
}

static VixError carry_out(const char *what) {
  if (strcmp(what, "crash") == 0) abort();
  if (strncmp(what, "sleep:", 6) == 0) {
    long ms = strtol(what + 6, NULL, 10);
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
    return VIX_OK;
  }
  char *rest;
  VixError code = strtoull(what, &rest, 10);
  if (*rest || code == 0 || code > 0xffff) broken_rule("fault plan: '%s' is no error code", what);
  return code;
}

/* Finds the first line for this call; `what` gets its action. A line that cannot be read ends the process. */
static bool find_fault(char *plan, enum call_kind kind, uint64_t nth, char what[32]) {
  char *save;
  for (char *line = strtok_r(plan, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
    char name[32], when[32];
    line[strcspn(line, "#")] = 0;
    int fields = sscanf(line, " %31s %31s %31s", name, when, what);
    if (fields <= 0) continue;
    if (fields != 3 || !known_call(name)) broken_rule("fault plan: cannot read '%s'", line);
    if (strcmp(name, call_name(kind)) == 0 && number_matches(when, nth)) return true;
  }
  return false;
}

VixError planned_fault(enum call_kind kind) {
  const char *path = getenv("FAKE_VDDK_FAULTS");
  if (!path || !*path) return VIX_OK;
  char plan[8192], what[32];
  pthread_mutex_lock(&mutex);
  read_plan(path, plan, sizeof plan);
  bool found = find_fault(plan, kind, ++counts[kind], what);
  pthread_mutex_unlock(&mutex);
  return found ? carry_out(what) : VIX_OK;
}
