// The C side of VDDK: structs, functions and constants in the order of its header (docs/development/vddk.md#structs,
// docs/development/vddk.md#constants).

import koffi from 'koffi'

/**
 * An address, or an opaque handle. koffi 3 does not check its kind (docs/development/vddk.md#koffi), so each wrapper keeps its own kind.
 */
export type Pointer = bigint
/** VixError: the code is in the low 16 bits. A number where that is safe, otherwise a bigint (docs/development/vddk.md#koffi). */
export type VixResult = number | bigint

/** VixDiskLibConnectParams, the members that Dormouse fills in. `state` is private: structs come from AllocateConnectParams. */
export const CONNECT_PARAMS = {
  serverName: 8,
  thumbPrint: 16,
  credType: 32,
  userName: 40,
  password: 48,
  port: 64,
  nfcHostPort: 68,
  fcdId: 96,
  datastoreMoref: 104,
  snapshotId: 112,
  specType: 120,
} as const

/** VixDiskLibInfo: capacity in sectors. Members behind byte 56 exist only since 7.0 and are not read. */
export const INFO_CAPACITY = 24

/** VixDiskLibBlockList: u32 numBlocks, then {u64 offset, u64 length} in sectors from byte 8 on. */
export const BLOCK_LIST = { numBlocks: 0, blocks: 8, blockBytes: 16 } as const

// docs/development/vddk.md#constants
export const CRED_UID = 1
export const SPEC_VSTORAGE_OBJECT = 1
export const OPEN_UNBUFFERED = 1
export const OPEN_READ_ONLY = 4
export const OPEN_COMPRESSION_SKIPZ = 64
export const MIN_CHUNK_SECTORS = 128
export const MAX_CHUNKS_PER_CALL = 524_288

/**
 * The API version requested of InitEx: the first that knows First Class Disks; newer libraries accept it
 * (docs/development/vddk.md#life-of-a-process).
 */
export const API_MAJOR = 6
export const API_MINOR = 7

export type VddkFunctions = {
  initEx(
    major: number,
    minor: number,
    log: Pointer,
    warn: Pointer,
    panic: Pointer,
    libDir: string | null,
    configFile: string | null,
  ): VixResult
  exit(): void
  allocateConnectParams(): Pointer
  freeConnectParams(params: Pointer): void
  prepareForAccess(params: Pointer, identity: string): VixResult
  endAccess(params: Pointer, identity: string): VixResult
  connectEx(
    params: Pointer,
    readOnly: number,
    snapshotRef: string | null,
    transportModes: string,
    connection: [Pointer | null],
  ): VixResult
  disconnect(connection: Pointer): VixResult
  open(connection: Pointer, path: string, flags: number, handle: [Pointer | null]): VixResult
  getInfo(handle: Pointer, info: [Pointer | null]): VixResult
  freeInfo(info: Pointer): void
  getTransportMode(handle: Pointer): string
  close(handle: Pointer): VixResult
  read(handle: Pointer, startSector: number, sectors: number, buffer: Uint8Array): VixResult
  write(handle: Pointer, startSector: number, sectors: number, buffer: Uint8Array): VixResult
  flush(handle: Pointer): VixResult
  queryAllocatedBlocks(
    handle: Pointer,
    startSector: number,
    sectors: number,
    chunkSectors: number,
    list: [Pointer | null],
  ): VixResult
  freeBlockList(list: Pointer): VixResult
  getErrorText(result: VixResult, locale: null): string
}

type Library = ReturnType<typeof koffi.load>

/**
 * Bool is a char in C. ReadAsync, WriteAsync and Wait are not bound: their callbacks come from foreign threads
 * (docs/development/vddk.md#koffi).
 */
export function bindVddk(library: Library): VddkFunctions {
  const freeErrorText = library.func('void VixDiskLib_FreeErrorText(char *text)')
  const errorText = koffi.disposable(null, 'char *', freeErrorText)
  return {
    initEx: library.func(
      'uint64_t VixDiskLib_InitEx(uint32_t major, uint32_t minor, void *log, void *warn, void *panic, const char *libDir, const char *configFile)',
    ),
    exit: library.func('void VixDiskLib_Exit()'),
    allocateConnectParams: library.func('void *VixDiskLib_AllocateConnectParams()'),
    freeConnectParams: library.func('void VixDiskLib_FreeConnectParams(void *params)'),
    prepareForAccess: library.func('uint64_t VixDiskLib_PrepareForAccess(void *params, const char *identity)'),
    endAccess: library.func('uint64_t VixDiskLib_EndAccess(void *params, const char *identity)'),
    connectEx: library.func(
      'uint64_t VixDiskLib_ConnectEx(void *params, uint8_t readOnly, const char *snapshotRef, const char *transportModes, _Out_ void **connection)',
    ),
    disconnect: library.func('uint64_t VixDiskLib_Disconnect(void *connection)'),
    open: library.func(
      'uint64_t VixDiskLib_Open(void *connection, const char *path, uint32_t flags, _Out_ void **handle)',
    ),
    getInfo: library.func('uint64_t VixDiskLib_GetInfo(void *handle, _Out_ void **info)'),
    freeInfo: library.func('void VixDiskLib_FreeInfo(void *info)'),
    getTransportMode: library.func('const char *VixDiskLib_GetTransportMode(void *handle)'),
    close: library.func('uint64_t VixDiskLib_Close(void *handle)'),
    // Typed arrays are passed as they are, without a copy, with or without _Out_ (docs/development/vddk.md#koffi).
    read: library.func('uint64_t VixDiskLib_Read(void *handle, uint64_t start, uint64_t count, uint8_t *buffer)'),
    write: library.func('uint64_t VixDiskLib_Write(void *handle, uint64_t start, uint64_t count, uint8_t *buffer)'),
    flush: library.func('uint64_t VixDiskLib_Flush(void *handle)'),
    queryAllocatedBlocks: library.func(
      'uint64_t VixDiskLib_QueryAllocatedBlocks(void *handle, uint64_t start, uint64_t count, uint64_t chunk, _Out_ void **list)',
    ),
    freeBlockList: library.func('uint64_t VixDiskLib_FreeBlockList(void *list)'),
    getErrorText: library.func('VixDiskLib_GetErrorText', errorText, ['uint64_t', 'const char *']),
  }
}
