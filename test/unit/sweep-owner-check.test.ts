// How the sweep checks Backups and Restores: seldom, and a failed read never counts as an answer.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MemoryCluster } from '#shared/adapters/memory/cluster.ts'
import { KINDS } from '#shared/api/kinds.ts'
import { formatClaimSnapshotId } from '#shared/domain/ids.ts'
import { readSettings } from '#shared/kernel/env.ts'
import { TerminalError } from '#shared/kernel/errors.ts'
import { stores } from '#test/support/stores.ts'
import { sweep } from '../../functions/sweep/handler.ts'

const looks = suite("the sweep's look at Backups")

const SNAPSHOT_ID = formatClaimSnapshotId({
  namespace: 'shop',
  claim: 'data',
  disk: { fcdId: '11111111-1111-4111-8111-111111111111', snapshotId: '22222222-2222-4222-8222-222222222222' },
})
const REQUESTED = { 'dormouse.dev/velero-operation': 'requested' }
const KNOWN = { 'dormouse.dev/velero-operation': 'known' }
const NOW_MS = Date.parse('2026-11-26T12:00:00Z')

function aSweep() {
  const reads: string[] = []
  const onRead: Record<string, () => Promise<unknown>> = {}
  const warnings: string[] = []
  const clock = { nowMs: () => NOW_MS, monotonicMs: () => 0, sleep: async () => undefined }
  const cluster = new MemoryCluster({
    clock,
    beforeCall: async (verb, kind, name) => {
      if (verb !== 'read') return
      reads.push(`${kind} ${name}`)
      await onRead[kind]?.()
    },
  })
  const seed = (name: string, backup: { name: string; uid: string }, phase: string, mark: object = {}) =>
    cluster.seed('Snapshot', {
      apiVersion: 'backupdriver.cnsdp.vmware.com/v1alpha1',
      kind: 'Snapshot',
      metadata: {
        name,
        namespace: 'shop',
        labels: { 'velero.io/backup-uid': backup.uid, 'dormouse.dev/step': phase === 'Uploaded' ? 'done' : 'waiting' },
        annotations: { 'dormouse.dev/velero-backup': backup.name, ...mark },
      },
      spec: { backupRepository: 'br-1' },
      status: { phase, completionTimestamp: '2026-11-26T11:00:00Z', snapshotID: SNAPSHOT_ID },
    })
  const backup = (name: string, phase: string) => {
    const metadata = { name, namespace: 'velero' }
    const made = cluster.seed('Backup', { apiVersion: 'velero.io/v1', kind: 'Backup', metadata, status: { phase } })
    return { name, uid: made.metadata.uid ?? '' }
  }
  const log = { debug() {}, info() {}, error() {}, warn: (_: object, line: string) => void warnings.push(line) }
  const run = async () =>
    await sweep(
      {
        cluster,
        clock,
        settings: readSettings({}),
        stores,
        identity: 'sweep',
        log,
        wake: async () => undefined,
        count: () => undefined,
      },
      new AbortController().signal,
    )
  const cancelled = () => cluster.peekAll('Snapshot').filter((each) => each['spec'].snapshotCancel === true)
  return { cluster, seed, backup, run, reads, onRead, warnings, cancelled }
}

looks('a Backup is read once for all that was made for it, and not for what is over', async () => {
  const { seed, backup, run, reads, cancelled } = aSweep()
  const nightly = backup('nightly', 'Failed')
  const old = backup('old', 'Completed')
  for (const name of ['a', 'b', 'c']) seed(name, nightly, 'Uploading')
  seed('d', old, 'Uploaded')
  const report = await run()
  assert.equal(reads, ['Backup nightly'])
  assert.equal([report.abandoned, cancelled().length], [3, 3])
  assert.is(cancelled()[0]?.metadata.labels?.['dormouse.dev/step'], 'snapshot', 'which makes it an event')
  assert.is((await run()).abandoned, 0, 'once is enough')
})

looks('a missing right does not count as a missing Backup, and the others are checked', async () => {
  const { cluster, seed, backup, run, warnings, cancelled } = aSweep()
  seed('a', { name: 'hidden', uid: 'u-1' }, 'Uploading')
  seed('b', backup('nightly', 'Failed'), 'Uploading')
  cluster.failNext({ verb: 'read', kind: 'Backup', name: 'hidden', error: new TerminalError('Forbidden', '403') })
  const report = await run()
  assert.equal([report.abandoned, report.failed], [1, 0])
  assert.equal(
    cancelled().map(({ metadata }) => metadata.name),
    ['b'],
  )
  assert.match(warnings.join(), 'could not read Backup hidden')
})

looks('what Velero asks about after the Snapshots were listed is left alone', async () => {
  for (const phase of ['Uploaded', 'Uploading']) {
    const { cluster, seed, backup, run, onRead, cancelled } = aSweep()
    const snapshot = seed('a', backup('nightly', 'Completed'), phase, REQUESTED)
    onRead['Backup'] = async () => await cluster.patch('Snapshot', snapshot, { metadata: { annotations: KNOWN } })
    const report = await run()
    assert.equal([report.unclaimed, report.abandoned, report.failed], [0, 0, 0], phase)
    assert.equal([cluster.peekAll('DeleteSnapshot'), cancelled()], [[], []])
  }
})

looks(
  'a removal that was requested already is enough, and another object of its name does not count as one',
  async () => {
    const seen = [
      { snapshotID: SNAPSHOT_ID, removed: 1, mark: 'removed' },
      { snapshotID: 'pvc:other', removed: 0, mark: 'requested' },
    ]
    for (const { snapshotID, removed, mark } of seen) {
      const { cluster, seed, backup, run } = aSweep()
      const { metadata } = seed('a', backup('nightly', 'Failed'), 'Uploaded', REQUESTED)
      const { apiVersion } = KINDS.DeleteSnapshot
      const place = { name: `delete-${metadata.uid}`, namespace: 'velero' }
      cluster.seed('DeleteSnapshot', { apiVersion, kind: 'DeleteSnapshot', metadata: place, spec: { snapshotID } })
      assert.is((await run()).unclaimed, removed)
      const { annotations } = cluster.peek('Snapshot', 'shop', 'a')!.metadata
      assert.is(annotations?.['dormouse.dev/velero-operation'], mark)
      const actor = cluster.peek('DeleteSnapshot', 'velero', place.name)?.metadata.annotations
      assert.equal(actor, removed === 1 ? { 'dormouse.dev/on-behalf-of': 'shop' } : undefined, 'with its rights only')
    }
  },
)

looks('a requested removal has the rights of the namespace that named the id', async () => {
  const { cluster, seed, backup, run } = aSweep()
  seed('a', backup('nightly', 'Failed'), 'Uploaded', REQUESTED)
  await run()
  const [removal] = cluster.peekAll('DeleteSnapshot')
  assert.equal(removal?.metadata.annotations, { 'dormouse.dev/on-behalf-of': 'shop' })
})

looks.run()
