/* How slow the pretended network is: FAKE_VDDK_LATENCY_US per call, FAKE_VDDK_MBPS shared by the whole process. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <time.h>

#include "standin.h"

uint64_t number_setting(const char *name, uint64_t fallback) {
  const char *text = getenv(name);
  if (!text || !*text) return fallback;
  char *rest;
  uint64_t value = strtoull(text, &rest, 10);
  if (*rest || *text == '-') broken_rule("%s=%s is no whole number", name, text);
  return value;
}

uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void sleep_until(uint64_t ns) {
  struct timespec until = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) != 0) {
  }
}

void pace_latency(void) {
  uint64_t us = number_setting("FAKE_VDDK_LATENCY_US", 0);
  if (us > 0) sleep_until(now_ns() + us * 1000);
}

/* Every transfer reserves its share of one shared line and waits until its last byte would be through. */
void pace_bytes(uint64_t bytes) {
  static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  static uint64_t lineFreeNs;
  uint64_t megabytesPerSecond = number_setting("FAKE_VDDK_MBPS", 0);
  if (megabytesPerSecond == 0) return;
  pthread_mutex_lock(&mutex);
  uint64_t now = now_ns();
  if (lineFreeNs < now) lineFreeNs = now;
  lineFreeNs += bytes * 1000 / megabytesPerSecond;
  uint64_t through = lineFreeNs;
  pthread_mutex_unlock(&mutex);
  sleep_until(through);
}
