// Opens the disk of a lane in the calling thread: through VDDK, or a file where a test says so.

import { TerminalError } from '#shared/kernel/errors.ts'
import type { Disk } from '#shared/ports/disk.ts'
import type { WorkerBirth } from './protocol.ts'

/** Adapters are loaded when needed: VDDK's needs native code that tests with files do without. */
export async function openDisk({ disk, writable, vddk, lock, testDisk }: WorkerBirth): Promise<Disk> {
  if (testDisk !== undefined) {
    const { FileDisk } = await import('#shared/providers/file/disk.ts')
    return new FileDisk(testDisk.path, { writable, extents: testDisk.extents })
  }
  if (vddk === undefined || lock === undefined) {
    throw new TerminalError('VddkNotFound', 'this mover was started without VDDK: set DORMOUSE_VDDK_DIR')
  }
  const [{ openVddkDisk }, { loadVddk }, { VddkLock }, { transportModes }] = await Promise.all([
    import('#shared/providers/vddk/disk.ts'),
    import('#shared/providers/vddk/library.ts'),
    import('#shared/providers/vddk/lock.ts'),
    import('#shared/providers/vddk/config.ts'),
  ])
  return openVddkDisk({
    library: loadVddk(vddk.libDir),
    lock: new VddkLock(lock),
    connection: disk.access,
    fcdId: disk.fcdId,
    datastoreMoref: disk.access.datastoreMoref,
    snapshotId: disk.snapshotId,
    writable,
    transportModes: transportModes(vddk.transportModes),
  })
}
