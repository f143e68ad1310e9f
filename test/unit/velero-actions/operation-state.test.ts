// What Velero is told about an operation, from phases and bytes.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { SNAPSHOT_PHASES, UPLOAD_PHASES } from '#shared/api/types.ts'
import { isUploadOver } from '#shared/domain/upload.ts'
import { MiB } from '#shared/kernel/units.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { failedOperation, operationState, unknownOperation } from '../../../velero/domain/operation.ts'
import { NOW_MS } from './support.ts'

const state = suite('the state of an operation')

const snapshot = (status: object, backupRepository = 'br-1'): LooseObject => ({
  apiVersion: 'backupdriver.cnsdp.vmware.com/v1alpha1',
  kind: 'Snapshot',
  metadata: { name: 'snap-1', namespace: 'shop', creationTimestamp: '2026-11-26T09:00:00Z' },
  spec: { backupRepository },
  status,
})
const upload = (status: object, snapshotReference = 'shop/snap-1'): LooseObject => ({
  apiVersion: 'datamover.cnsdp.vmware.com/v1alpha1',
  kind: 'Upload',
  metadata: { name: 'upload-1', namespace: 'velero' },
  spec: { snapshotReference },
  status,
})

state('is over exactly when its Upload is', () => {
  for (const phase of UPLOAD_PHASES) {
    const { completed, error } = operationState(snapshot({ phase: 'Uploading' }), upload({ phase, root: 'r' }), NOW_MS)
    assert.is(completed, isUploadOver(phase), phase)
    assert.is(error !== '', completed && phase !== 'Completed', phase)
  }
})

state('without an Upload follows the Snapshot, whose UploadFailed is no end', () => {
  const ends = { SnapshotFailed: false, Uploaded: true, UploadFailedAfterRetry: false, Canceled: false }
  for (const phase of SNAPSHOT_PHASES) {
    const { completed, error } = operationState(snapshot({ phase }), undefined, NOW_MS)
    assert.is(completed, phase in ends, phase)
    assert.is(completed && error === '', ends[phase as keyof typeof ends] === true, phase)
  }
})

state('in local mode is over with the disk snapshot', () => {
  assert.is(operationState(snapshot({ phase: 'Snapshotted' }, ''), undefined, NOW_MS).completed, true)
  assert.is(operationState(snapshot({ phase: 'New' }, ''), undefined, NOW_MS).completed, false)
})

state('is not over by an Upload that belongs to another Snapshot', () => {
  const other = upload({ phase: 'Completed', root: 'r' }, 'shop/snap-2')
  assert.is(operationState(snapshot({ phase: 'Uploading' }), other, NOW_MS).completed, false)
})

state('is not over by an Upload of ours whose Completed was written by hand', () => {
  const made = upload({ phase: 'Completed', session: 's' })
  assert.is(operationState(snapshot({ phase: 'Uploading' }), made, NOW_MS).completed, false)
})

state('tells bytes, also those that only the Snapshot knows, and never more done than there are', () => {
  const progress = { totalBytes: 10 * MiB, bytesDone: 4 * MiB, summary: '4 of 10 MiB' }
  const running = operationState(snapshot({}), upload({ phase: 'InProgress', progress }), NOW_MS)
  assert.equal([running.nCompleted, running.nTotal, running.operationUnits], [4 * MiB, 10 * MiB, 'bytes'])
  assert.match(running.description, 'Upload InProgress, 4 of 10 MiB')
  assert.is(operationState(snapshot({ progress }), upload({ phase: 'New' }), NOW_MS).nTotal, 10 * MiB)
  const over = { totalBytes: 5, bytesDone: 9 }
  assert.is(operationState(snapshot({}), upload({ phase: 'InProgress', progress: over }), NOW_MS).nCompleted, 5)
  const done = operationState(snapshot({}), upload({ phase: 'Completed', root: 'r', progress }), NOW_MS)
  assert.is(done.nCompleted, 10 * MiB)
})

state('nonsense in the progress counts as no bytes', () => {
  for (const totalBytes of [-1, Number.NaN, '7', null, 1.5, 2 ** 60]) {
    const shown = operationState(snapshot({}), upload({ phase: 'InProgress', progress: { totalBytes } }), NOW_MS)
    assert.equal([shown.nCompleted, shown.nTotal], [0, 0], String(totalBytes))
  }
})

state('a failure says phase, reason and message, bounded and on one line', () => {
  const failed = {
    phase: 'UploadFailedAfterRetry',
    reason: 'StoreUnavailable',
    message: `S3\nis ${'away '.repeat(1000)}`,
  }
  const { error } = operationState(snapshot({}), upload(failed), NOW_MS)
  assert.match(error, 'Upload velero/upload-1 is UploadFailedAfterRetry: StoreUnavailable: S3 is away')
  assert.ok(error.length <= 2048 && !error.includes('\n'))
  assert.match(operationState(snapshot({ phase: 'Canceled' }), undefined, NOW_MS).error, 'no reason was given')
})

state('is cut between characters: Velero fails an operation for good whose texts Go cannot read', () => {
  for (const start of ['', 'x']) {
    const words = `${start}${'😀'.repeat(3000)}`
    const texts = [unknownOperation(words, 1).description, failedOperation(words, 1).error]
    texts.push(operationState(snapshot({}), upload({ phase: 'UploadFailedAfterRetry', message: words }), NOW_MS).error)
    texts.push(operationState(snapshot({}), upload({ phase: 'New', reason: words }), NOW_MS).description)
    assert.equal(
      texts.map((text) => text.isWellFormed() && text.length > 250),
      texts.map(() => true),
    )
  }
})

state('has begun with its Snapshot, and ends when that was written', () => {
  const begun = operationState(snapshot({ phase: 'New' }), undefined, NOW_MS)
  assert.is(begun.startedMs, Date.parse('2026-11-26T09:00:00Z'))
  assert.is(begun.updatedMs, NOW_MS)
  const completionTimestamp = '2026-11-26T09:30:00Z'
  const done = operationState(snapshot({}), upload({ phase: 'Canceled', completionTimestamp }), NOW_MS)
  assert.is(done.updatedMs, Date.parse(completionTimestamp))
})

state('what cannot be asked now is not over; what is gone has failed', () => {
  assert.equal([unknownOperation('x', 1).completed, unknownOperation('x', 1).error], [false, ''])
  assert.equal([failedOperation('x', 1).completed, failedOperation('x', 1).error], [true, 'x'])
})

state.run()
