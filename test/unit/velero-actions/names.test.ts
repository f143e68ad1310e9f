// Names made from UIDs, ids of operations, and the times that Velero writes.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { isObjectName } from '#shared/api/names.ts'
import { deleteName } from '#shared/domain/delete-request.ts'
import { HOUR_MS, MINUTE_MS, SECOND_MS } from '#shared/kernel/units.ts'
import { labelValue } from '../../../velero/actions/digest.ts'
import { formatOperationId, parseOperationId, repositoryName, snapshotName } from '../../../velero/domain/names.ts'
import { isFinalizing, operationDeadlineMs, parseDuration, resourceTimeoutMs } from '../../../velero/domain/times.ts'
import { aBackup, BACKUP_UID, CLAIM_UID, NOW_MS } from './support.ts'

const names = suite('names and times')

names('a name is made from UIDs alone, and Kubernetes takes it', () => {
  const name = snapshotName(BACKUP_UID, CLAIM_UID)
  assert.is(name, `snap-${BACKUP_UID}-${CLAIM_UID}`)
  for (const made of [name, deleteName(CLAIM_UID), repositoryName(CLAIM_UID)]) assert.ok(isObjectName(made), made)
  assert.not.equal(snapshotName(CLAIM_UID, CLAIM_UID), name)
})

names('what is no UID does not become part of a name', () => {
  for (const bad of [undefined, '', 7, 'a/b', '../x', 'A', 'a b', '-a', 'a-', 'x'.repeat(65)]) {
    assert.throws(() => snapshotName(bad, CLAIM_UID), /uid/)
    assert.throws(() => deleteName(bad), /uid/)
  }
})

names("an operation's id leads back to its Snapshot, and nothing else is read as one", () => {
  const place = { namespace: 'shop', name: snapshotName(BACKUP_UID, CLAIM_UID) }
  assert.equal(parseOperationId(formatOperationId(place)), place)
  for (const bad of ['', 'shop', 'shop/', '/a', 'shop/a/b', 'Shop/a', 'shop/..', `shop/${'a'.repeat(254)}`]) {
    assert.is(parseOperationId(bad), undefined, bad)
  }
})

names('durations as Go writes them', () => {
  const table: [text: unknown, ms: number | undefined][] = [
    ['4h0m0s', 4 * HOUR_MS],
    ['5m', 5 * MINUTE_MS],
    ['1h2m3.5s', HOUR_MS + 2 * MINUTE_MS + 3.5 * SECOND_MS],
    ['250ms', 250],
    ['0s', undefined],
    ['-5m', undefined],
    ['5', undefined],
    ['5 m', undefined],
    ['', undefined],
    [300, undefined],
    [undefined, undefined],
    [`${'9'.repeat(40)}h`, undefined],
    ['1m'.repeat(40), undefined],
  ]
  for (const [text, ms] of table) assert.is(parseDuration(text), ms, String(text))
})

names('an operation without a time of its own has four hours', () => {
  assert.is(operationDeadlineMs(aBackup({ itemOperationTimeout: '5m' }), NOW_MS), NOW_MS + 5 * MINUTE_MS)
  for (const itemOperationTimeout of [undefined, '0s', 'soon'])
    assert.is(operationDeadlineMs(aBackup({ itemOperationTimeout }), NOW_MS), NOW_MS + 4 * HOUR_MS)
})

names('an item has ten minutes, or what the Backup says', () => {
  assert.is(resourceTimeoutMs(aBackup()), 10 * MINUTE_MS)
  assert.is(resourceTimeoutMs(aBackup({}, { timeout: '2m' })), 2 * MINUTE_MS)
  assert.is(resourceTimeoutMs(aBackup({}, { timeout: 'long' })), 10 * MINUTE_MS)
})

names('only the two finalizing phases finalize', () => {
  for (const phase of ['Finalizing', 'FinalizingPartiallyFailed']) assert.ok(isFinalizing(aBackup({}, { phase })))
  for (const phase of ['New', 'InProgress', 'WaitingForPluginOperations', 'Completed'])
    assert.not.ok(isFinalizing(aBackup({}, { phase })))
})

names('a long name is cut for a label as Velero cuts it', () => {
  assert.is(labelValue('nightly'), 'nightly')
  // Expected value: first 57 characters, then the first six of sha256sum.
  const long = 'a'.repeat(64)
  assert.is(labelValue(long), `${'a'.repeat(57)}ffe054`)
})

names.run()
