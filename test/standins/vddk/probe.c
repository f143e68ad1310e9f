/* Plays one scenario against the VDDK stand-in and prints the codes that it got: what the adapter never does, done on purpose. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vixdisklib.h"

static ConnectParams *params;
static Connection *connection;
static Handle *handle;
static uint8_t buffer[4 << 20];

static unsigned code(VixError error) { return (unsigned)(error & 0xffff); }

static void say(const char *what, VixError error) { printf("%s=%u\n", what, code(error)); }

static void quiet(const char *format, va_list args) {
  (void)format;
  (void)args;
}

static void init(void) { say("init", VixDiskLib_InitEx(6, 7, quiet, quiet, quiet, NULL, NULL)); }

static void fill_params(void) {
  params = VixDiskLib_AllocateConnectParams();
  params->serverName = "vcenter.example";
  params->thumbPrint = "AA";
  params->credType = CRED_UID;
  params->creds.uid.userName = "user";
  params->creds.uid.password = "password";
  params->port = 443;
  params->spec.id = "disk-1";
  params->spec.datastoreMoRef = "datastore-59";
  params->specType = SPEC_VSTORAGE_OBJECT;
}

static void open_disk(uint32_t flags) {
  init();
  fill_params();
  say("connect", VixDiskLib_ConnectEx(params, 0, NULL, "nbd", &connection));
  say("open", VixDiskLib_Open(connection, "", flags, &handle));
}

static void *open_once(void *unused) {
  (void)unused;
  Handle *other;
  VixDiskLib_Open(connection, "", OPEN_READ_ONLY, &other);
  return NULL;
}

static void *read_once(void *unused) {
  (void)unused;
  VixDiskLib_Read(handle, 0, 1, buffer);
  return NULL;
}

static void twice_at_once(void *(*work)(void *)) {
  pthread_t threads[2];
  for (int i = 0; i < 2; i++) pthread_create(&threads[i], NULL, work, NULL);
  for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
}

static void *read_later(void *go) {
  while (!*(volatile int *)go) usleep(1000);
  return read_once(NULL);
}

static void null_log(void) { VixDiskLib_InitEx(6, 7, quiet, NULL, quiet, NULL, NULL); }
static void init_twice(void) { init(); init(); }
static void *init_body(void *unused) { (void)unused; init(); return NULL; }
static void init_in_thread(void) {
  pthread_t thread;
  pthread_create(&thread, NULL, init_body, NULL);
  pthread_join(thread, NULL);
}
static void thread_before_init(void) {
  static volatile int go;
  pthread_t thread;
  pthread_create(&thread, NULL, read_later, (void *)&go);
  usleep(50000);
  open_disk(OPEN_READ_ONLY);
  go = 1;
  pthread_join(thread, NULL);
}
static void fork_after_init(void) { init(); if (fork() == 0) _exit(0); }
static void before_init(void) { fill_params(); say("connect", VixDiskLib_ConnectEx(params, 0, NULL, "nbd", &connection)); }
static void open_overlap(void) { open_disk(OPEN_READ_ONLY); twice_at_once(open_once); }
static void read_overlap(void) { open_disk(OPEN_READ_ONLY); twice_at_once(read_once); }
static void use_after_close(void) { open_disk(OPEN_READ_ONLY); VixDiskLib_Close(handle); VixDiskLib_Read(handle, 0, 1, buffer); }
static void close_twice(void) { open_disk(OPEN_READ_ONLY); VixDiskLib_Close(handle); VixDiskLib_Close(handle); }
static void disconnect_open(void) { open_disk(OPEN_READ_ONLY); VixDiskLib_Disconnect(connection); }
static void exit_open(void) { open_disk(OPEN_READ_ONLY); VixDiskLib_Exit(); }
static void use_after_exit(void) { init(); VixDiskLib_Exit(); before_init(); }
static void end_access_connected(void) { open_disk(OPEN_READ_ONLY); VixDiskLib_EndAccess(params, "x"); }
static void free_twice(void) {
  open_disk(OPEN_READ_ONLY);
  Info *info;
  VixDiskLib_GetInfo(handle, &info);
  VixDiskLib_FreeInfo(info);
  VixDiskLib_FreeInfo(info);
}
static void free_wrongly(void) {
  open_disk(OPEN_READ_ONLY);
  Info *info;
  VixDiskLib_GetInfo(handle, &info);
  VixDiskLib_FreeBlockList((BlockList *)info);
}

static void transfers(void) {
  open_disk(OPEN_READ_ONLY);
  say("read", VixDiskLib_Read(handle, 0, 2048, buffer));
  say("read none", VixDiskLib_Read(handle, 0, 0, buffer));
  say("read too much", VixDiskLib_Read(handle, 0, 4097, buffer));
  say("read past the end", VixDiskLib_Read(handle, 16383, 2, buffer));
  say("read behind the end", VixDiskLib_Read(handle, 1ull << 60, 1, buffer));
  say("read to nowhere", VixDiskLib_Read(handle, 0, 1, NULL));
  say("write read-only", VixDiskLib_Write(handle, 0, 1, buffer));
}

static void try_open(const char *what, uint32_t flags, const char *path) {
  Handle *other;
  say(what, VixDiskLib_Open(connection, path, flags, &other));
}

static void opens(void) {
  open_disk(OPEN_READ_ONLY);
  try_open("with a path", OPEN_READ_ONLY, "[ds] a.vmdk");
  try_open("with unknown flags", 0x8000, "");
  try_open("for writing while it is read", 0, "");
  try_open("for reading while it is read", OPEN_READ_ONLY, "");
  try_open("one more than allowed", OPEN_READ_ONLY, "");
  params->spec.ssId = "";
  say("connect with an empty snapshot id", VixDiskLib_ConnectEx(params, 1, NULL, "nbd", &connection));
  params->spec.ssId = "none";
  say("connect to a snapshot", VixDiskLib_ConnectEx(params, 0, NULL, "nbd", &connection));
  try_open("a snapshot for writing", 0, "");
  try_open("a snapshot that is not there", OPEN_READ_ONLY, "");
  say("connect by SAN only", VixDiskLib_ConnectEx(params, 1, NULL, "san:hotadd", &connection));
}

static void prepares(void) {
  init();
  fill_params();
  say("prepare", VixDiskLib_PrepareForAccess(params, "a"));
  say("prepare again", VixDiskLib_PrepareForAccess(params, "a"));
  say("end by another", VixDiskLib_EndAccess(params, "b"));
  say("end", VixDiskLib_EndAccess(params, "a"));
  say("prepare anew", VixDiskLib_PrepareForAccess(params, "b"));
}

/* Until it is killed. */
static void prepares_for_ever(void) {
  init();
  fill_params();
  for (;;) {
    VixDiskLib_PrepareForAccess(params, "a");
    VixDiskLib_EndAccess(params, "a");
  }
}

static void query(const char *what, SectorType start, SectorType count, SectorType chunk) {
  BlockList *list = NULL;
  VixError error = VixDiskLib_QueryAllocatedBlocks(handle, start, count, chunk, &list);
  printf("%s=%u", what, code(error));
  for (uint32_t i = 0; list && i < list->numBlocks; i++)
    printf(" %llu+%llu", (unsigned long long)list->blocks[i].offset, (unsigned long long)list->blocks[i].length);
  printf("\n");
  if (list) VixDiskLib_FreeBlockList(list);
}

static void queries(void) {
  open_disk(OPEN_READ_ONLY);
  query("all", 0, 16384, 128);
  query("in large chunks", 0, 16384, 2048);
  query("a part", 2048, 2048, 128);
  query("chunk too small", 0, 16384, 64);
  query("chunk too large", 0, 262144, 262144);
  query("half a chunk", 0, 100, 128);
  query("start inside a chunk", 64, 128, 128);
  query("past the end", 0, 32768, 128);
}

static int order[8], finished;
static void note(void *data, VixError result) { order[__atomic_fetch_add(&finished, 1, __ATOMIC_SEQ_CST)] = (int)(long)data + (int)result; }

static void asynchronous(void) {
  open_disk(OPEN_READ_ONLY);
  for (long i = 0; i < 8; i++) {
    VixError error = VixDiskLib_ReadAsync(handle, (SectorType)i, 1, buffer + i * 512, note, (void *)i);
    if (i == 0) say("submit", error);
  }
  say("wait", VixDiskLib_Wait(handle));
  bool inOrder = true;
  for (int i = 0; i < 8; i++) inOrder = inOrder && order[i] == i;
  printf("finished=%d in order=%d first byte=%d\n", finished, inOrder, buffer[512 * 7]);
  say("sync after async", VixDiskLib_Read(handle, 0, 1, buffer));
  say("close", VixDiskLib_Close(handle));
}
static void async_after_sync(void) {
  open_disk(OPEN_READ_ONLY);
  say("read", VixDiskLib_Read(handle, 0, 1, buffer));
  say("async after sync", VixDiskLib_ReadAsync(handle, 0, 1, buffer, note, NULL));
}
static void close_in_flight(void) {
  open_disk(OPEN_READ_ONLY);
  for (long i = 0; i < 8; i++) VixDiskLib_ReadAsync(handle, 0, 2048, buffer, note, (void *)i);
  VixDiskLib_Close(handle);
}

static void volatile_faults(void) {
  open_disk(OPEN_READ_ONLY);
  FILE *plan = fopen(getenv("FAKE_VDDK_FAULTS"), "w");
  fputs("Read 2 14011 # the connection goes\nFlush 1+ 36\n", plan);
  fclose(plan);
  for (int i = 1; i <= 3; i++) say("read", VixDiskLib_Read(handle, 0, 1, buffer));
  VixError error = VixDiskLib_Flush(handle);
  printf("flush=%u noise=%d\n", code(error), error != code(error));
  plan = fopen(getenv("FAKE_VDDK_FAULTS"), "w");
  fputs("Read 1 36 # of this plan\n", plan);
  fclose(plan);
  say("read under a new plan", VixDiskLib_Read(handle, 0, 1, buffer));
  plan = fopen(getenv("FAKE_VDDK_FAULTS"), "w");
  fputs("Read * crash\n", plan);
  fclose(plan);
  VixDiskLib_Read(handle, 0, 1, buffer);
}

static void all_well(void) {
  open_disk(OPEN_READ_ONLY);
  Info *info;
  say("info", VixDiskLib_GetInfo(handle, &info));
  printf("capacity=%llu\n", (unsigned long long)info->capacity);
  VixDiskLib_FreeInfo(info);
  VixDiskLib_Close(handle);
  VixDiskLib_Disconnect(connection);
  VixDiskLib_FreeConnectParams(params);
  VixDiskLib_Exit();
}

static const struct { const char *name; void (*play)(void); } SCENARIOS[] = {
  {"null log", null_log}, {"init twice", init_twice}, {"init in a thread", init_in_thread},
  {"thread before init", thread_before_init}, {"fork after init", fork_after_init}, {"before init", before_init},
  {"open overlap", open_overlap}, {"read overlap", read_overlap}, {"use after close", use_after_close},
  {"close twice", close_twice}, {"disconnect open", disconnect_open}, {"exit open", exit_open},
  {"use after exit", use_after_exit}, {"end access connected", end_access_connected}, {"free twice", free_twice},
  {"free wrongly", free_wrongly}, {"transfers", transfers}, {"opens", opens}, {"prepares", prepares},
  {"prepares for ever", prepares_for_ever},
  {"queries", queries}, {"async", asynchronous}, {"async after sync", async_after_sync},
  {"close in flight", close_in_flight}, {"faults", volatile_faults}, {"all well", all_well},
};

int main(int argc, char **argv) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (size_t i = 0; argc > 1 && i < sizeof SCENARIOS / sizeof *SCENARIOS; i++) {
    if (strcmp(SCENARIOS[i].name, argv[1]) != 0) continue;
    SCENARIOS[i].play();
    return 0;
  }
  fprintf(stderr, "no scenario %s\n", argc > 1 ? argv[1] : "");
  return 2;
}
