// When a mover that does not stop is killed: some seconds after its transfer is cancelled, later when it is stopped for another reason, and at
// once when the Lease is lost. All writes under the Lease come before its release.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { moved } from '#shared/controllers/slice.ts'
import { ABORTS } from '#shared/controllers/work-lease.ts'
import { systemClock } from '#shared/kernel/clock.ts'
import { slowSleep } from '#test/support/slow-sleep.ts'

const transfers = suite('a transfer that is to end')

/** A clock whose time passes only by `pass`. */
function aTransfer() {
  const abort = new AbortController()
  const lose = new AbortController()
  const moving = Promise.withResolvers<string>()
  const { sleep, pass, sleptMs } = slowSleep()
  let kills = 0
  const clock = { ...systemClock, sleep }
  const lease = { signal: abort.signal, lost: lose.signal }
  const outcome = () =>
    moved(clock, lease, async ({ kill }) => {
      kill.addEventListener('abort', () => {
        kills++
        moving.reject(new Error('killed'))
      })
      return await moving.promise
    })
  return { abort, lose, moving, outcome, pass, kills: () => kills, sleptMs }
}

transfers('cancelled, and the mover waits for a store: it is killed after some seconds', async () => {
  const { abort, outcome, pass, kills, sleptMs } = aTransfer()
  const ended = outcome()
  abort.abort(ABORTS.cancelled)
  await new Promise((resolve) => setImmediate(resolve))
  assert.equal([sleptMs(), kills()], [4000, 0])
  pass()
  await ended.then(assert.unreachable, (error: Error) => assert.is(error.message, 'killed'))
  assert.is(kills(), 1)
})

transfers('cancelled before it began: the same', async () => {
  const { abort, outcome, pass, kills } = aTransfer()
  abort.abort(ABORTS.cancelled)
  const ended = outcome()
  pass()
  await ended.then(assert.unreachable, () => undefined)
  assert.is(kills(), 1)
})

transfers('cancelled, and the mover stops by itself: its outcome counts', async () => {
  const { abort, moving, outcome, pass, kills } = aTransfer()
  const ended = outcome()
  abort.abort(ABORTS.cancelled)
  moving.resolve('sealed')
  assert.is(await ended, 'sealed')
  pass()
  await new Promise((resolve) => setImmediate(resolve))
  assert.is(kills(), 0)
})

transfers('stopped as the pod or the request comes to its end: it has time to keep what it has', async () => {
  const { abort, moving, outcome, sleptMs, kills } = aTransfer()
  const ended = outcome()
  abort.abort(ABORTS.shutdown)
  await new Promise((resolve) => setImmediate(resolve))
  moving.resolve('more')
  assert.equal([await ended, sleptMs(), kills()], ['more', 45_000, 0])
})

transfers('stopped, and inside of a call that never returns: it is killed then', async () => {
  const { abort, outcome, pass, kills } = aTransfer()
  const ended = outcome().catch((error: Error) => error.message)
  abort.abort(ABORTS.shutdown)
  pass()
  await new Promise((resolve) => setImmediate(resolve))
  assert.is(kills(), 1)
  assert.is(await ended, 'killed')
})

transfers('the Lease is lost: it is killed at once', async () => {
  const { lose, outcome, kills } = aTransfer()
  const ended = outcome()
  lose.abort()
  await ended.then(assert.unreachable, (error: Error) => assert.is(error.message, 'killed'))
  assert.is(kills(), 1)
})

transfers.run()
