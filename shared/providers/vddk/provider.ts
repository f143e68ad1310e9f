// VDDK as a provider of disks for the mover.

import type { Disk } from '#shared/ports/disk.ts'
import type { DiskProvider } from '#shared/ports/disk-provider.ts'
import type { DiskRef } from '#shared/ports/mover.ts'
import { transportModes } from './config.ts'
import { openVddkDisk } from './disk.ts'
import { endLeftAccess } from './left-access.ts'
import { initVddk, loadVddk, type VddkLibrary } from './library.ts'
import { createVddkLock, VddkLock } from './lock.ts'

export type VddkSettings = {
  provider: 'vddk'
  /** The folder in which the VDDK was unpacked. */
  libDir: string
  configFile: string | undefined
  /** As in `DORMOUSE_VDDK_TRANSPORT`; undefined: the default order. */
  transportModes: string | undefined
}

/** Runs before the first worker: threads that call VDDK must be created after VDDK was started. TerminalErrors `Vddk…`. */
export function startVddk({ libDir, configFile }: VddkSettings): DiskProvider {
  const library = loadVddk(libDir)
  initVddk(library, configFile)
  const shared = createVddkLock()
  const endAccess = (disk: DiskRef) => endLeftAccess(connectionTo(disk, library, shared))
  // A disk that is open for writing is locked: one handle only.
  return { shared, writers: 1, endAccess }
}

/** Runs in a worker thread. */
export function openVddk(
  settings: VddkSettings,
  shared: SharedArrayBuffer | undefined,
  disk: DiskRef,
  writable: boolean,
): Disk {
  if (shared === undefined) throw new Error('VDDK was not started in the main thread')
  const connection = connectionTo(disk, loadVddk(settings.libDir), shared)
  return openVddkDisk({ ...connection, writable, transportModes: transportModes(settings.transportModes) })
}

function connectionTo({ access, fcdId, snapshotId }: DiskRef, library: VddkLibrary, shared: SharedArrayBuffer) {
  const { datastoreMoref } = access
  return { library, lock: new VddkLock(shared), connection: access, fcdId, datastoreMoref, snapshotId }
}
