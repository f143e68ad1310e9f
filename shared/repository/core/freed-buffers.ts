// Keeps dead buffers from piling up. V8 lets a thread gather some 64 MiB of external buffers before it collects them, and node:crypto
// allocates one for every chunk. A minor collection takes about a millisecond. `gc` exists when Node runs with --expose-gc.

import { MiB } from '#shared/kernel/units.ts'

const COLLECT_AFTER_BYTES = 8 * MiB

const collect = (globalThis as { gc?: (options: { type: 'minor' }) => void }).gc
let freedBytes = 0

/** Reports that buffers of this size were allocated and are no longer used. */
export function countFreed(bytes: number): void {
  freedBytes += bytes
  if (freedBytes < COLLECT_AFTER_BYTES) return
  freedBytes = 0
  collect?.({ type: 'minor' })
}
