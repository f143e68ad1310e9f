/*
 * The binary interface of libvixDiskLib as the STAND-IN offers it (this is not VMware's VDDK and holds none of its code).
 * Signatures, struct layouts, constants and codes: docs/development/vddk.md#structs and what follows there.
 */
#ifndef VDDK_STANDIN_VIXDISKLIB_H
#define VDDK_STANDIN_VIXDISKLIB_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

typedef uint64_t VixError; /* the code is the low 16 bits; what is above may be anything */
typedef char Bool;
typedef uint64_t SectorType;

typedef void LogFn(const char *format, va_list args);
typedef void CompletionFn(void *data, VixError result);
typedef struct Connection Connection;
typedef struct Handle Handle;

typedef struct {
  char *vmxSpec;
  char *serverName;
  char *thumbPrint;
  long privateUse;
  int32_t credType;
  union {
    struct { char *userName, *password; } uid;
    struct { char *cookie, *userName, *key; } sessionId;
    void *ptr;
  } creds;
  uint32_t port;
  uint32_t nfcHostPort;
  char *vimApiVer;
  char reserved[8];
  void *state;
  struct { char *id, *datastoreMoRef, *ssId; } spec;
  int32_t specType;
} ConnectParams;

typedef struct { uint32_t cylinders, heads, sectors; } Geometry;

typedef struct {
  Geometry biosGeo;
  Geometry physGeo;
  SectorType capacity;
  int32_t adapterType;
  int32_t numLinks;
  char *parentFileNameHint;
  char *uuid;
  uint32_t logicalSectorSize;
  uint32_t physicalSectorSize;
} Info;

typedef struct { SectorType offset, length; } Block;
typedef struct { uint32_t numBlocks; Block blocks[]; } BlockList;

/* A layout that drifts must not compile: the adapter writes at these offsets (docs/development/vddk.md#structs). */
_Static_assert(sizeof(ConnectParams) == 128 && offsetof(ConnectParams, credType) == 32, "ConnectParams");
_Static_assert(offsetof(ConnectParams, creds) == 40 && offsetof(ConnectParams, port) == 64, "ConnectParams.creds, port");
_Static_assert(offsetof(ConnectParams, vimApiVer) == 72 && offsetof(ConnectParams, state) == 88, "ConnectParams.state");
_Static_assert(offsetof(ConnectParams, spec) == 96 && offsetof(ConnectParams, specType) == 120, "ConnectParams.spec");
_Static_assert(sizeof(Info) == 64 && offsetof(Info, capacity) == 24 && offsetof(Info, uuid) == 48, "Info");
_Static_assert(sizeof(Block) == 16 && offsetof(BlockList, blocks) == 8, "BlockList");

enum { CRED_UID = 1 };
enum { SPEC_VSTORAGE_OBJECT = 1 };
enum { OPEN_UNBUFFERED = 1, OPEN_SINGLE_LINK = 2, OPEN_READ_ONLY = 4, OPEN_COMPRESSION_MASK = 0x3f0 };
enum { SECTOR_BYTES = 512, MIN_CHUNK_SECTORS = 128, MAX_CHUNK_SECTORS = 131072, MAX_CHUNKS = 524288 };

enum {
  VIX_OK = 0,
  VIX_E_FAIL = 1,
  VIX_E_OUT_OF_MEMORY = 2,
  VIX_E_INVALID_ARG = 3,
  VIX_E_FILE_NOT_FOUND = 4,
  VIX_E_NOT_SUPPORTED = 6,
  VIX_E_FILE_ERROR = 7,
  VIX_E_FILE_ACCESS_ERROR = 13,
  VIX_E_FILE_ALREADY_LOCKED = 15,
  VIX_E_AUTHENTICATION_FAIL = 35,
  VIX_E_SNAPSHOT_NOTFOUND = 13003,
  VIX_E_NOINIT = 16001,
  VIX_E_OUTOFRANGE = 16007,
  VIX_E_SUBSYSTEM_INIT_FAIL = 16053,
  VIX_E_CANNOT_CONNECT_TO_HOST = 18000,
  VIX_E_OPERATION_DISABLED = 20005,
  VIX_ASYNC = 25000,
  VIX_E_ASYNC_MIXEDMODE_UNSUPPORTED = 26000,
};

#define API __attribute__((visibility("default")))

API VixError VixDiskLib_InitEx(uint32_t major, uint32_t minor, LogFn *log, LogFn *warn, LogFn *panic,
                               const char *libDir, const char *configFile);
API void VixDiskLib_Exit(void);
API const char *VixDiskLib_ListTransportModes(void);
API char *VixDiskLib_GetErrorText(VixError error, const char *locale);
API void VixDiskLib_FreeErrorText(char *text);

API ConnectParams *VixDiskLib_AllocateConnectParams(void);
API void VixDiskLib_FreeConnectParams(ConnectParams *params);
API VixError VixDiskLib_PrepareForAccess(const ConnectParams *params, const char *identity);
API VixError VixDiskLib_EndAccess(const ConnectParams *params, const char *identity);
API VixError VixDiskLib_ConnectEx(const ConnectParams *params, Bool readOnly, const char *snapshotRef,
                                  const char *transportModes, Connection **out);
API VixError VixDiskLib_Disconnect(Connection *connection);
API VixError VixDiskLib_Cleanup(const ConnectParams *params, uint32_t *cleaned, uint32_t *remaining);

API VixError VixDiskLib_Open(Connection *connection, const char *path, uint32_t flags, Handle **out);
API VixError VixDiskLib_Close(Handle *handle);
API VixError VixDiskLib_GetInfo(Handle *handle, Info **out);
API void VixDiskLib_FreeInfo(Info *info);
API const char *VixDiskLib_GetTransportMode(Handle *handle);

API VixError VixDiskLib_Read(Handle *handle, SectorType start, SectorType count, uint8_t *buffer);
API VixError VixDiskLib_Write(Handle *handle, SectorType start, SectorType count, const uint8_t *buffer);
API VixError VixDiskLib_Flush(Handle *handle);
API VixError VixDiskLib_ReadAsync(Handle *handle, SectorType start, SectorType count, uint8_t *buffer,
                                  CompletionFn *done, void *data);
API VixError VixDiskLib_WriteAsync(Handle *handle, SectorType start, SectorType count, const uint8_t *buffer,
                                   CompletionFn *done, void *data);
API VixError VixDiskLib_Wait(Handle *handle);

API VixError VixDiskLib_QueryAllocatedBlocks(Handle *handle, SectorType start, SectorType count, SectorType chunk,
                                             BlockList **out);
API VixError VixDiskLib_FreeBlockList(BlockList *list);

#endif
