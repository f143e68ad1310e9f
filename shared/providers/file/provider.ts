// Files as a provider of disks for the mover: one file represents the disk that is moved.

import { asError, TerminalError } from '#shared/kernel/errors.ts'
import type { Disk, Extent } from '#shared/ports/disk.ts'
import type { DiskProvider } from '#shared/ports/disk-provider.ts'
import { FileDisk } from './disk.ts'

export type FileSettings = {
  provider: 'file'
  /** Path of an image of the disk, byte for byte; it is used whatever disk is requested. */
  path: string
  /** Allocated runs, ascending; undefined: the whole file is read. */
  extents: Extent[] | undefined
}

/** Any number of threads may write to a file, each to its own part; a thread that died leaves nothing behind. */
export function startFiles(): DiskProvider {
  return { shared: undefined, writers: Number.POSITIVE_INFINITY, endAccess: () => {} }
}

/** TerminalError `DiskFileUnusable`. */
export function openFile({ path, extents }: FileSettings, writable: boolean): Disk {
  try {
    return new FileDisk(path, { writable, extents })
  } catch (error) {
    const cause = asError(error)
    throw new TerminalError('DiskFileUnusable', `the disk's file cannot be opened: ${cause.message}`, { cause })
  }
}
