// When a later backup may trust the change id of a backup: no older disk snapshot existed to which the disk could be reverted.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { hasOlder, isTakenAlone } from '#shared/domain/revertible.ts'

const revertible = suite('what a disk may be reverted to')

const at = (snapshotId: string, createdMs: number) => ({ snapshotId, description: '', createdMs })
const own = at('own', 5)

revertible('a disk snapshot counts as the only one when there was none before, and only this one afterwards', () => {
  assert.is(isTakenAlone([], [own], 'own'), true)
  assert.is(isTakenAlone([at('older', 1)], [own], 'own'), false, 'it is gone by now')
  assert.is(isTakenAlone([], [at('older', 4), own], 'own'), false, 'it came in between')
  assert.is(isTakenAlone([], [own, at('newer', 6)], 'own'), false, 'a clock may be wrong')
  assert.is(isTakenAlone([], [own], undefined), false, 'nobody says what the task has made')
  assert.is(isTakenAlone([], [own], 'double'), false, 'another process has made it')
  assert.is(isTakenAlone([], [], undefined), false)
})

revertible('another disk snapshot of the same moment counts as older', () => {
  assert.is(hasOlder([own], own), false)
  assert.is(hasOlder([own, at('newer', 6)], own), false)
  assert.is(hasOlder([at('older', 4), own], own), true)
  assert.is(hasOlder([own, at('other', 5)], own), true)
})

revertible.run()
