// Opens disks for the mover: VDDK, or files. A provider is started once, in the mover's main thread; each of its worker threads then
// opens a disk of its own.

import type { DiskRef } from './mover.ts'

/** A provider that was started, in the main thread. */
export interface DiskProvider {
  /** Passed to each worker thread with the provider's settings. */
  readonly shared: SharedArrayBuffer | undefined
  /** Threads that may have one disk open for writing at the same time, at least 1. */
  readonly writers: number
  /** Releases the access to the disk that a crashed mover has left. Safe to call twice, and when nothing is left. */
  endAccess(disk: DiskRef): void
}
