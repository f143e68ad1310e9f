// How the sweep asks for Backups and Restores: seldom, and without taking silence for an answer.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MemoryCluster } from '#shared/adapters/memory/cluster.ts'
import { readSettings } from '#shared/kernel/env.ts'
import { TerminalError } from '#shared/kernel/errors.ts'
import { sweep } from '../../functions/sweep/handler.ts'

const looks = suite("the sweep's look at Backups")

const NOW_MS = Date.parse('2026-11-26T12:00:00Z')

function aSweep() {
  const reads: string[] = []
  const warnings: string[] = []
  const clock = { nowMs: () => NOW_MS, monotonicMs: () => 0, sleep: async () => undefined }
  const cluster = new MemoryCluster({
    clock,
    beforeCall: async (verb, kind, name) => void (verb === 'read' && reads.push(`${kind} ${name}`)),
  })
  const seed = (name: string, backup: { name: string; uid: string }, phase: string) =>
    cluster.seed('Snapshot', {
      apiVersion: 'backupdriver.cnsdp.vmware.com/v1alpha1',
      kind: 'Snapshot',
      metadata: {
        name,
        namespace: 'shop',
        labels: { 'velero.io/backup-uid': backup.uid, 'dormouse.dev/step': phase === 'Uploaded' ? 'done' : 'waiting' },
        annotations: { 'dormouse.dev/velero-backup': backup.name },
      },
      spec: { backupRepository: 'br-1' },
      status: { phase, completionTimestamp: '2026-11-26T11:00:00Z' },
    })
  const backup = (name: string, phase: string) => {
    const metadata = { name, namespace: 'velero' }
    const made = cluster.seed('Backup', { apiVersion: 'velero.io/v1', kind: 'Backup', metadata, status: { phase } })
    return { name, uid: made.metadata.uid ?? '' }
  }
  const log = { debug() {}, info() {}, error() {}, warn: (_: object, line: string) => void warnings.push(line) }
  const run = async () =>
    await sweep({
      cluster,
      clock,
      settings: readSettings({}),
      identity: 'sweep',
      log,
      wake: async () => undefined,
      count: () => undefined,
    })
  const cancelled = () => cluster.peekAll('Snapshot').filter((each) => each['spec'].snapshotCancel === true)
  return { cluster, seed, backup, run, reads, warnings, cancelled }
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

looks('a right that is missing is no sign that the Backup is gone, and the others are looked at', async () => {
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

looks.run()
