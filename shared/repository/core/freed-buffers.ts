// Keeps dead buffers from piling up. V8 lets a thread gather some 64 MiB of them before it looks; node:crypto makes
// one for every chunk. A young collection costs about a millisecond; `gc` is there when Node runs with --expose-gc.

import { MiB } from '#shared/kernel/units.ts'

const COLLECT_AFTER_BYTES = 8 * MiB

const collect = (globalThis as { gc?: (options: { type: 'minor' }) => void }).gc
let freedBytes = 0

/** So many bytes of buffers were made that nobody needs any more. */
export function countFreed(bytes: number): void {
  freedBytes += bytes
  if (freedBytes < COLLECT_AFTER_BYTES) return
  freedBytes = 0
  collect?.({ type: 'minor' })
}
