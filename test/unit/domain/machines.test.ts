// The state machines: every phase and every flag leads to a step, and every step's end is a legal move.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  CLONE_FROM_SNAPSHOT_PHASES,
  DELETE_SNAPSHOT_PHASES,
  DOWNLOAD_PHASES,
  SNAPSHOT_PHASES,
  UPLOAD_PHASES,
} from '#shared/api/types.ts'
import { CLONE_NEXT, decideClone, seeClone } from '#shared/domain/clone.ts'
import { decideDelete, deletePhase } from '#shared/domain/delete.ts'
import { DOWNLOAD_NEXT, decideDownload } from '#shared/domain/download.ts'
import { decideSnapshot, followUpload, SNAPSHOT_NEXT, SNAPSHOT_PHASE_OF_UPLOAD } from '#shared/domain/snapshot.ts'
import { decideUpload, seeUpload, UPLOAD_NEXT, uploadBackoffUnits, uploadRetryMax } from '#shared/domain/upload.ts'
import type { LooseObject } from '#test/support/loose-object.ts'

const NOW = 1_000_000
const upload = (change: object) => ({
  phase: 'InProgress' as const,
  cancelRequested: false,
  sealed: false,
  givenUp: false,
  nextRetryMs: 0,
  ...change,
})

test('a finished upload starts nothing, whatever else is asked of it', () => {
  for (const phase of ['Completed', 'Canceled', 'UploadFailedAfterRetry'] as const) {
    assert.is(decideUpload(upload({ phase, cancelRequested: true }), NOW).kind, 'nothing')
  }
})

test('an upload in progress without a holder goes on', () => {
  assert.is(decideUpload(upload({}), NOW).kind, 'transfer')
})

test('back-off is waited for, to the boundary', () => {
  const seen = upload({ phase: 'UploadError', nextRetryMs: NOW })
  assert.is(decideUpload(seen, NOW - 1).kind, 'wait')
  assert.is(decideUpload(seen, NOW).kind, 'transfer')
})

test('cancel beats back-off', () => {
  assert.is(
    decideUpload(upload({ phase: 'UploadError', nextRetryMs: NOW + 1, cancelRequested: true }), NOW).kind,
    'abort',
  )
})

test('a sealed upload is never given up: only its clean-up is left', () => {
  const step = decideUpload(upload({ phase: 'CleanupFailed', sealed: true, cancelRequested: true }), NOW)
  assert.equal(step, { kind: 'cleanup', ends: 'Completed' })
})

test('a clean-up after failed transfers never ends as Completed', () => {
  assert.equal(decideUpload(upload({ phase: 'CleanupFailed', givenUp: true }), NOW), {
    kind: 'cleanup',
    ends: 'UploadFailedAfterRetry',
  })
})

test("the Velero Plugin for vSphere's nextRetryTimestamp of a new upload does not hold it up", () => {
  const object: LooseObject = {
    apiVersion: '',
    kind: 'Upload',
    metadata: { name: 'u' },
    spec: {},
    status: { phase: 'New', nextRetryTimestamp: '2999-01-01T00:00:00Z' },
  }
  assert.is(seeUpload(object).nextRetryMs, 0)
  assert.ok(seeUpload({ ...object, status: { ...object.status, phase: 'UploadError' } }).nextRetryMs > 0)
})

test('back-off doubles from one minute to sixty', () => {
  assert.equal([1, 2, 3, 4, 5, 6, 7, 8, 100].map(uploadBackoffUnits), [1, 2, 4, 8, 16, 32, 60, 60, 60])
})

test('the retry ceiling is read as a number, else the default holds', () => {
  assert.equal([undefined, '', '2', '0', '-1', '1e9', 'ten'].map(uploadRetryMax), [10, 10, 2, 0, 10, 10, 10])
})

test('every move that a snapshot makes by following its upload is in the table', () => {
  for (const from of SNAPSHOT_PHASES) {
    for (const phase of UPLOAD_PHASES) {
      const to = followUpload(from, phase)
      assert.ok(to === from || (SNAPSHOT_NEXT[from] as readonly string[]).includes(to), `${from} -> ${to}`)
      if (SNAPSHOT_NEXT[from].length === 0) assert.is(to, from, `${from} is over`)
    }
  }
})

test('a snapshot reaches the end that its upload reached', () => {
  for (const phase of UPLOAD_PHASES.filter((each) => UPLOAD_NEXT[each].length === 0)) {
    const wanted = SNAPSHOT_PHASE_OF_UPLOAD[phase]
    const from = phase === 'Canceled' ? 'Canceling' : 'Uploading'
    assert.is(followUpload(from, phase), wanted)
    assert.is(followUpload('Snapshotted', phase), wanted, 'all news in between may be lost')
  }
})

test('a new snapshot that is cancelled is not taken', () => {
  const seen = { phase: 'New' as const, cancelRequested: true, beingDeleted: false, localMode: false }
  assert.is(decideSnapshot(seen).kind, 'cancel')
  assert.is(decideSnapshot({ ...seen, cancelRequested: false }).kind, 'snapshot')
})

test('a local-mode snapshot is over once it is taken', () => {
  const seen = { phase: 'Snapshotted' as const, cancelRequested: false, beingDeleted: false, localMode: true }
  assert.is(decideSnapshot(seen).kind, 'nothing')
  assert.is(decideSnapshot({ ...seen, localMode: false }).kind, 'follow')
})

test('a download retries, is cancelled and ends', () => {
  const seen = { phase: 'Retry' as const, cancelRequested: false, nextRetryMs: NOW + 1 }
  assert.is(decideDownload(seen, NOW).kind, 'wait')
  assert.is(decideDownload(seen, NOW + 1).kind, 'transfer')
  assert.is(decideDownload({ ...seen, cancelRequested: true }, NOW).kind, 'cancel')
  assert.is(decideDownload({ ...seen, phase: 'Failed' }, NOW).kind, 'nothing')
})

test('a clone is handed over once its download is completed, even when it is being cancelled', () => {
  const seen = {
    phase: 'InProgress' as const,
    cancelRequested: true,
    downloadPhase: 'Completed' as const,
    needsLarger: false,
  }
  assert.is(decideClone(seen).kind, 'handOver')
  assert.is(decideClone({ ...seen, downloadPhase: 'InProgress' }).kind, 'abort')
  assert.is(decideClone({ ...seen, phase: 'Failed' }).kind, 'nothing')
})

test('a clone whose disk was too small for its backup gets another one, unless it is cancelled', () => {
  const seen = {
    phase: 'InProgress' as const,
    cancelRequested: false,
    downloadPhase: 'Failed' as const,
    needsLarger: true,
  }
  assert.is(decideClone(seen).kind, 'provision')
  assert.is(decideClone({ ...seen, needsLarger: false }).kind, 'failWithDownload')
  assert.is(decideClone({ ...seen, cancelRequested: true }).kind, 'abort')
})

test('a failed clone is never run again', () => {
  const clone: LooseObject = {
    apiVersion: '',
    kind: 'CloneFromSnapshot',
    metadata: { name: 'c' },
    spec: {},
    status: { phase: 'Failed' },
  }
  assert.is(decideClone(seeClone(clone, undefined)).kind, 'nothing')
})

test('a delete stops a running upload first', () => {
  assert.is(decideDelete('New', 'InProgress').kind, 'stopUpload')
  assert.is(decideDelete('InProgress', 'Canceled').kind, 'remove')
  assert.is(decideDelete('New', undefined).kind, 'remove')
  assert.is(deletePhase({ kind: 'DeleteSnapshot', metadata: { name: 'd' } } as LooseObject), 'New')
})

test('the tables are closed: every target is a phase of the same machine', () => {
  const tables: [readonly string[], Record<string, readonly string[]>][] = [
    [UPLOAD_PHASES, UPLOAD_NEXT],
    [SNAPSHOT_PHASES, SNAPSHOT_NEXT],
    [DOWNLOAD_PHASES, DOWNLOAD_NEXT],
    [CLONE_FROM_SNAPSHOT_PHASES, CLONE_NEXT],
  ]
  for (const [phases, next] of tables)
    for (const targets of Object.values(next)) for (const target of targets) assert.ok(phases.includes(target))
  assert.ok(DELETE_SNAPSHOT_PHASES.length > 0)
})

test.run()
