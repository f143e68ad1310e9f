// The surroundings of an action: a cluster in memory, a clock that jumps, and the objects that Velero passes.

import * as assert from 'uvu/assert'
import { MemoryCluster } from '#shared/adapters/memory/cluster.ts'
import type { PersistentVolumeClaim } from '#shared/api/types.ts'
import type { Clock } from '#shared/kernel/clock.ts'
import { ConflictError } from '#shared/kernel/errors.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { stores } from '#test/support/stores.ts'
import type { ActionDeps } from '../../../velero/actions/deps.ts'
import type { ActionLog } from '../../../velero/actions.ts'

export const NOW_MS = Date.parse('2026-11-26T10:00:00Z')
export const BACKUP_UID = '0b9f3c1e-8f0a-4f52-9d0e-4a1d8e9f1a2b'
export const CLAIM_UID = '5d8e2f7a-1c3b-4e6d-8f90-a1b2c3d4e5f6'

export type World = {
  cluster: MemoryCluster
  deps: ActionDeps
  clock: Clock & { onSleep: () => void | Promise<void> }
  log: ActionLog
  /** `level message`, in order. */
  lines: string[]
}

/** Time passes only in sleeps. */
function aClock(): World['clock'] {
  let ms = NOW_MS
  const clock = {
    nowMs: () => ms,
    monotonicMs: () => ms,
    onSleep: (): void | Promise<void> => {},
    sleep: async (wanted: number) => {
      ms += wanted
      await clock.onSleep()
    },
  }
  return clock
}

export function aWorld(): World {
  const clock = aClock()
  const cluster = new MemoryCluster({ clock })
  const lines: string[] = []
  const log = {
    info: (message: string) => void lines.push(`info ${message}`),
    warn: (message: string) => void lines.push(`warn ${message}`),
  }
  return {
    cluster,
    clock,
    log,
    lines,
    deps: { cluster, clock, veleroNamespace: 'velero', stores, pluginVersion: '0.1.0' },
  }
}

export function aBackup(
  spec: object = {},
  more: { phase?: string; name?: string; timeout?: string } = {},
): LooseObject {
  return {
    apiVersion: 'velero.io/v1',
    kind: 'Backup',
    metadata: {
      name: more.name ?? 'nightly',
      namespace: 'velero',
      uid: BACKUP_UID,
      ...(more.timeout === undefined ? {} : { annotations: { 'velero.io/resource-timeout': more.timeout } }),
    },
    spec: { storageLocation: 'default', itemOperationTimeout: '1h0m0s', ...spec },
    status: { phase: more.phase ?? 'InProgress' },
  }
}

export function aClaim(change: { annotations?: Record<string, string>; phase?: string; volumeName?: string } = {}) {
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: {
      name: 'orders',
      namespace: 'shop',
      uid: CLAIM_UID,
      annotations: { team: 'blue', ...change.annotations },
    },
    spec: { storageClassName: 'fast', volumeName: change.volumeName ?? 'pv-orders' },
    status: { phase: change.phase ?? 'Bound' },
  } as const satisfies PersistentVolumeClaim
}

export function aVolume(spec: object = {}, annotations: Record<string, string> = {}): LooseObject {
  const csi = { driver: 'csi.vsphere.vmware.com', volumeHandle: 'd8740414-6ff3-46c6-9b38-9e47e40afb06' }
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: { name: 'pv-orders', annotations },
    spec: { csi, accessModes: ['ReadWriteOnce'], ...spec },
  }
}

export function aPod(annotations: Record<string, string> = {}, phase = 'Running', volumes = ['data']): LooseObject {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'db-0', namespace: 'shop', annotations },
    spec: {
      volumes: volumes.map((name) => ({ name, persistentVolumeClaim: { claimName: 'orders' } })),
      containers: [{ name: 'main', volumeMounts: volumes.map((name) => ({ name, mountPath: `/${name}` })) }],
    },
    status: { phase },
  }
}

export function aLocation(): LooseObject {
  return {
    apiVersion: 'velero.io/v1',
    kind: 'BackupStorageLocation',
    metadata: { name: 'default', namespace: 'velero' },
    spec: {
      provider: 'aws',
      objectStorage: { bucket: 'backups', prefix: 'velero' },
      config: { region: 'eu-central-1' },
    },
  }
}

export function aConfigMap(name: string, data: Record<string, string>): LooseObject {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace: 'velero' }, data }
}

export const SNAPSHOT_ID =
  'pvc:shop/orders:aXZkOmQ4NzQwNDE0LTZmZjMtNDZjNi05YjM4LTllNDdlNDBhZmIwNjozZDU3MDU3ZC1lMDcwLTRkNDktYmJlNC0xY2Y0YWYxM2NiNjQ'
export const UPLOAD_NAME = 'upload-3d57057d-e070-4d49-bbe4-1cf4af13cb64'

/** While two actions sleep at once, the function works twice: the second time it finds what the first has written. */
export async function unlessFirst(write: Promise<unknown>): Promise<void> {
  await write.catch((error: unknown) => {
    if (!(error instanceof ConflictError)) throw error
  })
}

/** Does what the snapshot function does with each Snapshot, while actions sleep. */
export function takeSnapshots({ cluster, clock }: World, status: object = {}): void {
  clock.onSleep = async () => {
    for (const snapshot of cluster.peekAll('Snapshot')) {
      if (snapshot['status']?.phase !== undefined) continue
      const taken = {
        phase: 'Snapshotted',
        snapshotID: SNAPSHOT_ID,
        metadata: 'CgA=',
        uploadName: UPLOAD_NAME,
        ...status,
      }
      await unlessFirst(cluster.patchStatus('Snapshot', snapshot, taken))
    }
  }
}

export function seedVolume({ cluster }: World, volume = aVolume()): void {
  cluster.seed('PersistentVolume', volume)
  cluster.seed('BackupStorageLocation', aLocation())
}

export async function rejects(promise: Promise<unknown>, reason: string): Promise<Error> {
  const error = await promise.then(
    () => assert.unreachable(`no ${reason}`),
    (thrown) => thrown,
  )
  assert.is(error.reason, reason, error.stack)
  return error
}

export const RESTORE_UID = '9c1f7d34-6b2e-4a0c-8e55-2f3b4c5d6e7f'

export function aRestore(spec: object = {}): LooseObject {
  return {
    apiVersion: 'velero.io/v1',
    kind: 'Restore',
    metadata: { name: 'again', namespace: 'velero', uid: RESTORE_UID },
    spec: { backupName: 'nightly', ...spec },
  }
}

/** A Snapshot as a backup stores it. */
export function aStoredSnapshot(status: object): LooseObject {
  return {
    apiVersion: 'backupdriver.cnsdp.vmware.com/v1alpha1',
    kind: 'Snapshot',
    metadata: { name: 'snap-1', namespace: 'shop', uid: 'u-1', labels: { 'velero.io/backup-name': 'nightly' } },
    spec: { backupRepository: 'br-1', resourceHandle: { kind: 'PersistentVolumeClaim', name: 'orders' } },
    status,
  }
}

/** Its claim is bound, and the disk snapshot that a caller asks for is taken. */
export function aReadyWorld(): World {
  const world = aWorld()
  seedVolume(world)
  takeSnapshots(world)
  return world
}
