/* What the files of the VDDK stand-in share. Nothing here is visible outside the library. */
#ifndef VDDK_STANDIN_H
#define VDDK_STANDIN_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "vixdisklib.h"

/* --- rules.c: what a program must never do ends the process, so that no test can overlook it --- */

_Noreturn void broken_rule(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The calling thread may use the library: InitEx has run, and the thread was created after it (docs/development/vddk.md#threads). */
bool may_call(const char *call);
void library_is_ready(void);
bool library_was_started(void);
void library_is_gone(void);
/* Connect, Open, Close, Disconnect and their kin: one at a time in the whole process (docs/development/vddk.md#threads). */
void enter_lifecycle(const char *call);
void leave_lifecycle(void);
int thread_id(void);

/* Memory that the library hands out and gets back; wrong or double frees end the process. */
enum kind { KIND_PARAMS, KIND_INFO, KIND_BLOCKS, KIND_TEXT, KIND_COUNT };
void *hand_out(enum kind kind, size_t bytes);
void take_back(enum kind kind, void *memory);
int still_out(enum kind kind);

/* --- calls.c: one record per API call: fault plan, latency, trace --- */

enum call_kind {
  CALL_INIT, CALL_EXIT, CALL_PREPARE, CALL_END_ACCESS, CALL_CONNECT, CALL_DISCONNECT, CALL_CLEANUP, CALL_OPEN,
  CALL_CLOSE, CALL_GET_INFO, CALL_READ, CALL_WRITE, CALL_FLUSH, CALL_READ_ASYNC, CALL_WRITE_ASYNC, CALL_WAIT,
  CALL_QUERY, CALL_KINDS
};
typedef struct {
  enum call_kind kind;
  uint64_t startNs;
  int handle;
  uint64_t offsetBytes, lengthBytes;
  VixError planned; /* from the fault plan; VIX_OK: go on */
} Call;

Call begin_call(enum call_kind kind, int handle, SectorType start, SectorType count);
VixError end_call(const Call *call, VixError result);
const char *call_name(enum call_kind kind);

/* --- faults.c, pace.c, trace.c: what the tests control and see (README.md) --- */

VixError planned_fault(enum call_kind kind);
uint64_t now_ns(void);
void pace_latency(void);
void pace_bytes(uint64_t bytes);
void trace_call(const Call *call, unsigned code);
void trace_line(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A whole number from the environment; a value that is none ends the process. */
uint64_t number_setting(const char *name, uint64_t fallback);

/* --- log.c --- */

void start_log(LogFn *log, LogFn *warn);
void stop_log(void);
/* Formats and writes on the background thread while the caller waits: a caller that blocks the log's target deadlocks. */
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* --- config.c: the file given to InitEx --- */

VixError read_config(const char *path);
/* The AIO buffers that the config asks for are more than a session may have (docs/development/vddk.md#config-file). */
bool config_asks_too_much(void);

/* --- store.c: disks as files under FAKE_VDDK_ROOT --- */

typedef struct {
  int fd;
  SectorType capacity;
} Store;

VixError open_store(const char *datastore, const char *id, const char *snapshot, bool writable, Store *out);
void close_store(Store *store);
VixError store_read(const Store *store, SectorType start, SectorType count, uint8_t *into);
VixError store_write(const Store *store, SectorType start, SectorType count, const uint8_t *from);
VixError store_flush(const Store *store);
/* The next allocated run at or after `fromByte`: its start and end; false when there is none. */
bool store_next_data(const Store *store, uint64_t fromByte, uint64_t *start, uint64_t *end);

VixError mark_prepared(const char *datastore, const char *id, const char *identity);
VixError clear_prepared(const char *datastore, const char *id, const char *identity);
bool plain_name(const char *name);

/* --- connection.c, disk.c, async.c --- */

struct Connection {
  uint64_t magic;
  bool readOnly, wrongThumbprint;
  const char *transport;
  char *datastore, *id, *snapshot;
  atomic_int openHandles;
  struct Connection *next;
};

enum io_mode { IO_NONE, IO_SYNC, IO_ASYNC };
typedef struct AsyncQueue AsyncQueue;

struct Handle {
  uint64_t magic;
  int number;
  bool writable;
  Connection *connection;
  Store store;
  atomic_bool busy;
  enum io_mode mode;
  AsyncQueue *queue;
};

Connection *checked_connection(Connection *connection, const char *call);
int open_connections(void);
int open_disks(void);
/* Takes the handle for one call; a second thread in the same handle, or a closed handle, ends the process. */
Handle *take_handle(Handle *handle, const char *call);
void release_handle(Handle *handle);
VixError check_range(const Handle *handle, SectorType start, SectorType count, const void *buffer);
bool async_is_idle(Handle *handle);
void stop_async(Handle *handle);

#endif
