// Up to 1.0.2 the Velero Plugin for vSphere took part in Velero's volume snapshots, under a name that its users' VolumeSnapshotLocations
// still have.

import { TerminalError } from '#shared/kernel/errors.ts'
import type { OldSnapshotter } from '../actions.ts'
import { ACTION_NAMES } from '../domain/names.ts'

export function oldSnapshotter({ name }: { name?: string } = {}): OldSnapshotter {
  return {
    kind: 'VolumeSnapshotter',
    name: name ?? ACTION_NAMES.snapshotter,
    refuse: (what, snapshotId) =>
      new TerminalError(
        'BackupTooOld',
        `snapshot ${JSON.stringify(snapshotId.slice(0, 320))} is of a backup of the Velero Plugin for vSphere 1.0.2 or older, and cannot be ${what} here: use that plugin`,
      ),
  }
}
