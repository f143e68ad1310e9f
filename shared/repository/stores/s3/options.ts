// What a caller may set about the transport. This file does not import the SDK, so that reading it loads nothing.

import { STORE_IDLE_MS } from '#shared/kernel/call-limits.ts'
import { MiB, SECOND_MS } from '#shared/kernel/units.ts'

export type TransportOptions = {
  /** Bounds the sockets, and with them the bodies in flight. */
  maxConnections: number
  connectTimeoutMs: number
  /** The longest time without a byte in either direction while a request runs. */
  idleTimeoutMs: number
  /** A larger answer is refused before memory is allocated for it. */
  maxObjectBytes: number
  /** Bytes of returned buffers that are kept. */
  keepBufferBytes: number
}

export const DEFAULT_TRANSPORT: TransportOptions = {
  maxConnections: 16,
  connectTimeoutMs: 10 * SECOND_MS,
  idleTimeoutMs: STORE_IDLE_MS,
  maxObjectBytes: 256 * MiB,
  keepBufferBytes: 64 * MiB,
}
