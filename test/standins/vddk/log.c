/* Logging as VDDK does it: through the caller's functions, also from the library's own background thread. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>

#include "standin.h"

static LogFn *logFn, *warnFn;
static pthread_t background;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static char pending[600];
static LogFn *pendingFn;
static bool stopping;

static void through(LogFn *fn, const char *format, ...) {
  va_list args;
  va_start(args, format);
  fn(format, args);
  va_end(args);
}

static void *log_loop(void *unused) {
  (void)unused;
  through(logFn, "VDDK stand-in: background thread %d, %s, %.1f, %llu\n", thread_id(), "started", 1.5, 1ull << 40);
  pthread_mutex_lock(&mutex);
  while (!stopping) {
    if (pendingFn) {
      through(pendingFn, "VDDK stand-in: %s\n", pending);
      pendingFn = NULL;
      pthread_cond_broadcast(&changed);
    }
    pthread_cond_wait(&changed, &mutex);
  }
  pthread_mutex_unlock(&mutex);
  return NULL;
}

void start_log(LogFn *log, LogFn *warn) {
  logFn = log;
  warnFn = warn;
  if (pthread_create(&background, NULL, log_loop, NULL) != 0) broken_rule("no thread for the log");
}

void stop_log(void) {
  pthread_mutex_lock(&mutex);
  stopping = true;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&mutex);
  pthread_join(background, NULL);
}

static void hand_over(LogFn *fn, const char *format, va_list args) {
  char text[sizeof pending];
  vsnprintf(text, sizeof text, format, args);
  pthread_mutex_lock(&mutex);
  while (pendingFn) pthread_cond_wait(&changed, &mutex);
  memcpy(pending, text, sizeof pending);
  pendingFn = fn;
  pthread_cond_broadcast(&changed);
  while (pendingFn) pthread_cond_wait(&changed, &mutex);
  pthread_mutex_unlock(&mutex);
}

void log_info(const char *format, ...) {
  va_list args;
  va_start(args, format);
  hand_over(logFn, format, args);
  va_end(args);
}

void log_warning(const char *format, ...) {
  va_list args;
  va_start(args, format);
  hand_over(warnFn, format, args);
  va_end(args);
}
