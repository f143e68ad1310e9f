/* From connect parameters to a connection: who may log in, what is locked, which disk is meant. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "standin.h"

static const uint64_t MAGIC = 0xc0aaec7ed1234567u, DEAD = 0xdeadc0aaec7edeadu;
static const char PARAMS_STATE[] = "from AllocateConnectParams";

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static Connection *connections;

ConnectParams *VixDiskLib_AllocateConnectParams(void) {
  ConnectParams *params = hand_out(KIND_PARAMS, sizeof *params);
  params->state = (void *)PARAMS_STATE;
  return params;
}

void VixDiskLib_FreeConnectParams(ConnectParams *params) {
  if (params && params->state != PARAMS_STATE) broken_rule("FreeConnectParams of what Allocate did not give, or `state` overwritten");
  if (params) take_back(KIND_PARAMS, params);
}

static bool matches(const char *setting, const char *value) {
  const char *wanted = getenv(setting);
  return !wanted || !*wanted || (value && strcmp(wanted, value) == 0);
}

/* A First Class Disk and a user's password: the one form that Dormouse uses. "" is no snapshot id, NULL is (docs/development/vddk.md#connections). */
static VixError check_params(const ConnectParams *params) {
  if (!params || !params->serverName) return VIX_E_INVALID_ARG;
  if (params->specType != SPEC_VSTORAGE_OBJECT || params->credType != CRED_UID) return VIX_E_NOT_SUPPORTED;
  if (!plain_name(params->spec.id) || !plain_name(params->spec.datastoreMoRef)) return VIX_E_INVALID_ARG;
  if (params->spec.ssId && !plain_name(params->spec.ssId)) return VIX_E_INVALID_ARG;
  if (params->state != NULL && params->state != PARAMS_STATE) return VIX_E_INVALID_ARG;
  return VIX_OK;
}

static VixError log_in(const ConnectParams *params) {
  if (!matches("FAKE_VDDK_SERVER", params->serverName)) return VIX_E_CANNOT_CONNECT_TO_HOST;
  if (params->port != number_setting("FAKE_VDDK_PORT", params->port)) return VIX_E_CANNOT_CONNECT_TO_HOST;
  if (!matches("FAKE_VDDK_USER", params->creds.uid.userName)) return VIX_E_AUTHENTICATION_FAIL;
  if (!matches("FAKE_VDDK_PASSWORD", params->creds.uid.password)) return VIX_E_AUTHENTICATION_FAIL;
  return VIX_OK;
}

static VixError check_and_log_in(const ConnectParams *params) {
  VixError error = check_params(params);
  return error == VIX_OK ? log_in(params) : error;
}

VixError VixDiskLib_PrepareForAccess(const ConnectParams *params, const char *identity) {
  if (!may_call("PrepareForAccess")) return VIX_E_NOINIT;
  enter_lifecycle("PrepareForAccess");
  Call call = begin_call(CALL_PREPARE, 0, 0, 0);
  VixError error = call.planned ? call.planned : check_and_log_in(params);
  if (error == VIX_OK && !identity) error = VIX_E_INVALID_ARG;
  if (error == VIX_OK) error = mark_prepared(params->spec.datastoreMoRef, params->spec.id, identity);
  leave_lifecycle();
  return end_call(&call, error);
}

static bool is_connected_to(const ConnectParams *params) {
  pthread_mutex_lock(&mutex);
  bool found = false;
  for (Connection *c = connections; c && !found; c = c->next)
    found = c->magic == MAGIC && strcmp(c->id, params->spec.id) == 0 && strcmp(c->datastore, params->spec.datastoreMoRef) == 0;
  pthread_mutex_unlock(&mutex);
  return found;
}

VixError VixDiskLib_EndAccess(const ConnectParams *params, const char *identity) {
  if (!may_call("EndAccess")) return VIX_E_NOINIT;
  enter_lifecycle("EndAccess");
  Call call = begin_call(CALL_END_ACCESS, 0, 0, 0);
  VixError error = call.planned ? call.planned : check_and_log_in(params);
  if (error == VIX_OK && !identity) error = VIX_E_INVALID_ARG;
  if (error == VIX_OK && is_connected_to(params)) broken_rule("EndAccess while %s is still connected", params->spec.id);
  if (error == VIX_OK) error = clear_prepared(params->spec.datastoreMoRef, params->spec.id, identity);
  leave_lifecycle();
  return end_call(&call, error);
}

/* The first of the caller's modes that a pod has; SAN and HotAdd need a VM or a fabric. */
static const char *pick_transport(const char *modes) {
  char copy[128], *save;
  if (!modes) return "nbdssl";
  if (strlen(modes) >= sizeof copy) return NULL;
  strcpy(copy, modes);
  for (char *mode = strtok_r(copy, ":", &save); mode; mode = strtok_r(NULL, ":", &save)) {
    if (strcmp(mode, "nbd") == 0) return "nbd";
    if (strcmp(mode, "nbdssl") == 0) return "nbdssl";
  }
  return NULL;
}

static VixError connect_to(const ConnectParams *params, Bool readOnly, const char *transport, Connection **out) {
  Connection *connection = calloc(1, sizeof *connection);
  if (!connection) return VIX_E_OUT_OF_MEMORY;
  connection->magic = MAGIC;
  connection->readOnly = readOnly != 0;
  connection->wrongThumbprint = !matches("FAKE_VDDK_THUMBPRINT", params->thumbPrint);
  connection->transport = transport;
  /* Copies: the caller may free its strings as soon as this returns. */
  connection->datastore = strdup(params->spec.datastoreMoRef);
  connection->id = strdup(params->spec.id);
  connection->snapshot = params->spec.ssId ? strdup(params->spec.ssId) : NULL;
  pthread_mutex_lock(&mutex);
  connection->next = connections;
  connections = connection;
  pthread_mutex_unlock(&mutex);
  *out = connection;
  return VIX_OK;
}

static VixError connect_checked(const ConnectParams *params, Bool readOnly, const char *snapshotRef, const char *modes,
                                Connection **out) {
  VixError error = check_and_log_in(params);
  if (error != VIX_OK) return error;
  if (!out || (snapshotRef && *snapshotRef) || (readOnly != 0 && readOnly != 1)) return VIX_E_INVALID_ARG;
  const char *transport = pick_transport(modes);
  if (!transport) return VIX_E_FILE_ACCESS_ERROR;
  return connect_to(params, readOnly, transport, out);
}

VixError VixDiskLib_ConnectEx(const ConnectParams *params, Bool readOnly, const char *snapshotRef,
                              const char *transportModes, Connection **out) {
  if (!may_call("ConnectEx")) return VIX_E_NOINIT;
  enter_lifecycle("ConnectEx");
  Call call = begin_call(CALL_CONNECT, 0, 0, 0);
  VixError error = call.planned ? call.planned : connect_checked(params, readOnly, snapshotRef, transportModes, out);
  if (error == VIX_OK) log_info("connected to %s for %s, transport %s", params->serverName, params->spec.id, (*out)->transport);
  leave_lifecycle();
  return end_call(&call, error);
}

Connection *checked_connection(Connection *connection, const char *call) {
  if (!connection) broken_rule("%s: no connection", call);
  if (connection->magic == DEAD) broken_rule("%s: the connection was disconnected", call);
  if (connection->magic != MAGIC) broken_rule("%s: this is no connection", call);
  return connection;
}

VixError VixDiskLib_Disconnect(Connection *connection) {
  if (!may_call("Disconnect")) return VIX_E_NOINIT;
  enter_lifecycle("Disconnect");
  checked_connection(connection, "Disconnect");
  if (atomic_load(&connection->openHandles)) broken_rule("Disconnect with %d open disks", atomic_load(&connection->openHandles));
  Call call = begin_call(CALL_DISCONNECT, 0, 0, 0);
  connection->magic = DEAD; /* never freed: a later use is found out for sure */
  leave_lifecycle();
  return end_call(&call, call.planned);
}

VixError VixDiskLib_Cleanup(const ConnectParams *params, uint32_t *cleaned, uint32_t *remaining) {
  if (!may_call("Cleanup")) return VIX_E_NOINIT;
  enter_lifecycle("Cleanup");
  Call call = begin_call(CALL_CLEANUP, 0, 0, 0);
  VixError error = call.planned ? call.planned : check_and_log_in(params);
  if (error == VIX_OK && (!cleaned || !remaining)) error = VIX_E_INVALID_ARG;
  if (error == VIX_OK) *cleaned = *remaining = 0;
  leave_lifecycle();
  return end_call(&call, error);
}

int open_connections(void) {
  pthread_mutex_lock(&mutex);
  int count = 0;
  for (Connection *c = connections; c; c = c->next) count += c->magic == MAGIC;
  pthread_mutex_unlock(&mutex);
  return count;
}
