// What a caller may set about the transport. Without the SDK, so that reading it loads nothing.

import { STORE_IDLE_MS } from '#shared/kernel/call-limits.ts'
import { MiB, SECOND_MS } from '#shared/kernel/units.ts'

export type TransportOptions = {
  /** Bounds the sockets, and with them the bodies in flight. */
  maxConnections: number
  connectTimeoutMs: number
  /** Without a byte in either direction, on a request that is under way. */
  idleTimeoutMs: number
  /** A larger answer is refused before memory is taken for it. */
  maxObjectBytes: number
  /** Of buffers that callers gave back. */
  keepBufferBytes: number
}

export const DEFAULT_TRANSPORT: TransportOptions = {
  maxConnections: 16,
  connectTimeoutMs: 10 * SECOND_MS,
  idleTimeoutMs: STORE_IDLE_MS,
  maxObjectBytes: 256 * MiB,
  keepBufferBytes: 64 * MiB,
}
