// What objects say about Velero's operation: its deadline, and how late an upload may still begin an attempt.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { deadlineOf } from '#shared/controllers/deadline.ts'
import type { Log } from '#shared/controllers/deps.ts'
import { DEADLINE_MARGIN_MS, isTooLate } from '#shared/domain/upload.ts'
import { operationDeadline } from '#shared/domain/velero.ts'
import { MINUTE_MS } from '#shared/kernel/units.ts'
import type { LooseObject } from '#test/support/loose-object.ts'

const velero = suite("Velero's operation")

const NOON_MS = Date.parse('2026-11-26T12:00:00Z')

function anObject(deadline?: string): LooseObject {
  const annotations = deadline === undefined ? {} : { 'dormouse.dev/operation-deadline': deadline }
  return { apiVersion: '', kind: 'Upload', metadata: { name: 'upload-1', namespace: 'velero', annotations } }
}

velero('an attempt may begin until five minutes before the deadline, to the millisecond', () => {
  assert.is(DEADLINE_MARGIN_MS, 5 * MINUTE_MS)
  assert.is(isTooLate(NOON_MS - 5 * MINUTE_MS, NOON_MS), false)
  assert.is(isTooLate(NOON_MS - 5 * MINUTE_MS + 1, NOON_MS), true)
  assert.is(isTooLate(NOON_MS, undefined), false, 'without a deadline nothing is too late')
})

velero('a deadline is read as RFC 3339 writes it', () => {
  assert.is(operationDeadline(anObject()), undefined)
  for (const text of ['2026-11-26T12:00:00Z', '2026-11-26T12:00:00.000000Z', '2026-11-26T13:30:00+01:30'])
    assert.is(operationDeadline(anObject(text)), NOON_MS, text)
})

velero('a deadline that is no valid time is ignored, and the log names the object', () => {
  for (const text of ['', 'soon', '2026', '2026-11-26', '2026-13-41T12:00:00Z', '1 2026-11-26T12:00:00Z']) {
    const lines: string[] = []
    const log = { warn: (_fields: object, line: string) => void lines.push(line) } as unknown as Log
    assert.is(deadlineOf(log, anObject(text)), undefined, text)
    assert.match(lines.join(), 'dormouse.dev/operation-deadline of Upload velero/upload-1')
  }
})

velero.run()
