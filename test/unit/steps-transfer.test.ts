// A mover that does not stop when its transfer is cancelled is killed; one that is stopped for another reason is waited for.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ABORTS, type Claim } from '#shared/steps/claim.ts'
import type { TransferDeps } from '#shared/steps/deps.ts'
import { moved } from '#shared/steps/transfer.ts'
import { slowSleep } from '#test/support/slow-sleep.ts'

const transfers = suite('a transfer that is to end')

/** Time passes only when `pass` says so. */
function aTransfer() {
  const abort = new AbortController()
  const moving = Promise.withResolvers<string>()
  const { sleep, pass, sleptMs } = slowSleep()
  let kills = 0
  const kill = () => {
    kills++
    moving.reject(new Error('killed'))
  }
  const deps = { clock: { sleep }, mover: { kill } } as unknown as TransferDeps
  const outcome = () => moved(deps, { signal: abort.signal } as Claim, moving.promise)
  return { abort, moving, outcome, pass, kills: () => kills, sleptMs }
}

transfers('cancelled, and the mover waits for a store: it is killed after some seconds', async () => {
  const { abort, outcome, pass, kills, sleptMs } = aTransfer()
  const ended = outcome()
  abort.abort(ABORTS.cancelled)
  await Promise.resolve()
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

transfers('stopped as the pod goes down, or as the Lease is lost: nobody is killed from here', async () => {
  for (const reason of [ABORTS.shutdown, ABORTS.lost]) {
    const { abort, moving, outcome, sleptMs, kills } = aTransfer()
    const ended = outcome()
    abort.abort(reason)
    await new Promise((resolve) => setImmediate(resolve))
    moving.resolve('more')
    assert.equal([await ended, sleptMs(), kills()], ['more', 0, 0], reason)
  }
})

transfers.run()
