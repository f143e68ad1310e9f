// VixDiskLibConnectParams in C memory, filled in place (docs/development/vddk.md#structs).

import koffi from 'koffi'
import { TerminalError } from '#shared/kernel/errors.ts'
import { CONNECT_PARAMS, CRED_UID, type Pointer, SPEC_VSTORAGE_OBJECT, type VddkFunctions } from './signatures.ts'

/** Holds a password, so it is kept in memory only. `thumbprintSha1`: `AA:BB:…` of the vCenter's certificate. */
export type VddkConnection = { server: string; port: number; thumbprintSha1: string; user: string; password: string }

type VddkDiskName = { fcdId: string; datastoreMoref: string; snapshotId: string | undefined }

/** Each ESXi host's port for disk data (docs/development/vddk.md#connections). */
const NFC_HOST_PORT = 902

/** Owns the struct and its strings; `release` wipes them. The same object serves Prepare, Connect and EndAccess. */
export class ConnectParams {
  readonly pointer: Pointer
  readonly #functions: VddkFunctions
  readonly #texts: { at: Pointer; bytes: number }[] = []

  constructor(functions: VddkFunctions, connection: VddkConnection, disk: VddkDiskName) {
    this.#functions = functions
    this.pointer = functions.allocateConnectParams()
    try {
      this.#fill(connection, disk)
    } catch (error) {
      this.release()
      throw error
    }
  }

  release(): void {
    for (const { at, bytes } of this.#texts) {
      koffi.encode(at, 0, 'uint8_t', new Uint8Array(bytes), bytes)
      koffi.free(at)
    }
    this.#texts.length = 0
    this.#functions.freeConnectParams(this.pointer)
  }

  #fill(connection: VddkConnection, disk: VddkDiskName): void {
    this.#text('serverName', connection.server)
    this.#text('thumbPrint', connection.thumbprintSha1)
    this.#number('credType', CRED_UID)
    this.#text('userName', connection.user)
    this.#text('password', connection.password)
    this.#number('port', connection.port)
    this.#number('nfcHostPort', NFC_HOST_PORT)
    this.#text('fcdId', disk.fcdId)
    this.#text('datastoreMoref', disk.datastoreMoref)
    // No snapshot is NULL, not "" (docs/development/vddk.md#connections); the struct is zeroed at first.
    if (disk.snapshotId !== undefined) this.#text('snapshotId', disk.snapshotId)
    this.#number('specType', SPEC_VSTORAGE_OBJECT)
  }

  #number(member: keyof typeof CONNECT_PARAMS, value: number): void {
    koffi.encode(this.pointer, CONNECT_PARAMS[member], 'uint32_t', value)
  }

  #text(member: keyof typeof CONNECT_PARAMS, value: string): void {
    if (value.includes('\0')) throw new TerminalError('VddkInvalidArgument', `${member} for VDDK holds a NUL character`)
    const bytes = Buffer.from(`${value}\0`, 'utf8')
    const at: Pointer = koffi.alloc('uint8_t', bytes.length)
    this.#texts.push({ at, bytes: bytes.length })
    koffi.encode(at, 0, 'uint8_t', bytes, bytes.length)
    bytes.fill(0)
    koffi.encode(this.pointer, CONNECT_PARAMS[member], 'void *', at)
  }
}
