// The orphan sweep in vCenter: what users write cannot make it remove anything, and cannot keep it from its work.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MemoryCluster } from '#shared/adapters/memory/cluster.ts'
import type { VolumeDeps } from '#shared/controllers/deps.ts'
import type { Resume } from '#shared/controllers/task.ts'
import { snapshotDescription } from '#shared/domain/orphans.ts'
import { readSettings } from '#shared/kernel/env.ts'
import { HOUR_MS, MiB } from '#shared/kernel/units.ts'
import type { Cluster, Cursor, Page } from '#shared/ports/cluster.ts'
import { MemoryVolumes } from '#shared/providers/memory/volumes.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { stores } from '#test/support/stores.ts'
import { gather, idsOf } from '../../functions/sweep/gather.ts'
import { sweepOrphans } from '../../functions/sweep/orphans.ts'

const orphans = suite('the look for orphans')

const START_MS = Date.parse('2026-11-26T12:00:00Z')

const fromTheBeginning: Resume = { after: undefined, keep: () => undefined }

function aWorld() {
  let nowMs = START_MS
  const clock = { nowMs: () => nowMs, monotonicMs: () => nowMs, sleep: async () => undefined }
  const cluster = new MemoryCluster({ clock })
  cluster.list = async () => {
    throw new Error('a list has no bound')
  }
  const volumes = new MemoryVolumes({ clock })
  const fcdId = volumes.createDisk(MiB)
  cluster.seed('PersistentVolume', {
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: { name: 'pv' },
    spec: { csi: { driver: 'csi.vsphere.vmware.com', volumeHandle: fcdId } },
  })
  const warnings: string[] = []
  const log = { debug() {}, info() {}, error() {}, warn: (_: object, text: string) => void warnings.push(text) }
  const deps = {
    cluster,
    volumes,
    clock,
    settings: readSettings({}),
    log,
    stores,
    identity: 'p',
    clusterId: async () => 'mine',
  }
  const take = (description: string) => volumes.takeSnapshotNow(fcdId, description)
  const upload = (namespace: string, snapshotId: string) =>
    cluster.seed('Upload', {
      apiVersion: 'datamover.cnsdp.vmware.com/v1alpha1',
      kind: 'Upload',
      metadata: { name: `upload-${snapshotId}`, namespace },
      spec: {
        snapshotID: `ivd:${fcdId}:${snapshotId}`,
        backupRepository: 'br',
        backupTimestamp: '2026-11-26T11:00:00Z',
        snapshotReference: 'a/b',
      },
    })
  const sweep = async (signal = new AbortController().signal, resume: Resume = fromTheBeginning) => {
    nowMs = START_MS + 48 * HOUR_MS
    return await sweepOrphans(deps as unknown as VolumeDeps, signal, resume)
  }
  return {
    cluster,
    volumes,
    fcdId,
    take,
    upload,
    sweep,
    left: () => volumes.snapshotsOf(fcdId).map((each) => each.snapshotId),
  }
}

orphans('of objects of a megabyte each it keeps a few ids, and never lists a kind as a whole', async () => {
  const long = 'x'.repeat(MiB)
  const object = (index: number): LooseObject => ({
    apiVersion: 'backupdriver.cnsdp.vmware.com/v1alpha1',
    kind: 'Snapshot',
    metadata: { name: `s-${index}`, namespace: 'flood', uid: `u-${index}`, annotations: { long } },
    spec: { resourceHandle: { name: long } },
    status: { snapshotID: `ivd:a${index}:b${index}`, volumeID: `${long}${index}`, message: long },
  })
  const pages = async (_kind: string, _options: object, from?: Cursor): Promise<Page> => {
    const index = Number(from?.token ?? 0)
    const next = index < 40 ? { token: String(index + 1), limit: 1 } : undefined
    return { objects: [object(index)], bytes: MiB, next }
  }
  const cluster = { page: pages } as unknown as Cluster
  const kept = await gather({ cluster }, 'Snapshot', {}, idsOf)
  assert.is(kept.length, 41)
  assert.equal(kept[40]?.['status']?.snapshotID, 'ivd:a40:b40')
  assert.ok(JSON.stringify(kept).length < 41 * 2 * 1024, `${JSON.stringify(kept).length} characters`)
})

orphans('an Upload keeps a disk snapshot only in the Velero namespace', async () => {
  const { take, upload, sweep, left } = aWorld()
  const [owned, leaked] = [take(snapshotDescription('mine', 'u-1')), take(snapshotDescription('mine', 'u-2'))]
  upload('velero', owned)
  upload('tenant-b', leaked)
  assert.is((await sweep()).removed, 1)
  assert.equal(left(), [owned])
})

orphans('disk snapshots of others, and kept backups, stay', async () => {
  const { take, sweep, left } = aWorld()
  const others = ['by hand', snapshotDescription('other', 'u-1'), snapshotDescription('mine', 'u-2', true)].map(take)
  assert.equal([(await sweep()).removed, left()], [0, others])
})

orphans('runs that are cut off each time still reach every disk, each as often as the others', async () => {
  const { cluster, volumes, sweep } = aWorld()
  for (let i = 0; i < 49; i++) {
    const csi = { driver: 'csi.vsphere.vmware.com', volumeHandle: volumes.createDisk(MiB) }
    cluster.seed('PersistentVolume', {
      apiVersion: 'v1',
      kind: 'PersistentVolume',
      metadata: { name: `pv-${i}` },
      spec: { csi },
    })
  }
  const looks = new Map<string, number>()
  let after: string | undefined
  for (let run = 0; run < 20; run++) {
    const over = new AbortController()
    let here = 0
    const keep = (id: string | undefined) => {
      after = id
      looks.set(id ?? '', (looks.get(id ?? '') ?? 0) + 1)
      if (++here === 5) over.abort()
    }
    assert.is((await sweep(over.signal, { after, keep })).disks, 5)
  }
  assert.equal([looks.size, new Set(looks.values())], [50, new Set([2])])
})

orphans.run()
