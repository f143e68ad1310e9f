// After an upload has ended, its function asks the mover to release the disk, so that vCenter may migrate it again.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { TransferDeps } from '#shared/controllers/deps.ts'
import { RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import type { DiskRef } from '#shared/ports/mover.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { slowSleep } from '#test/support/slow-sleep.ts'
import { releaseDisk } from '../../functions/upload/release.ts'

const FCD = '0d9d1d5e-0000-4000-8000-000000000001'
const SNAPSHOT = '0d9d1d5e-0000-4000-8000-000000000002'

function anUpload(slice: number | undefined): LooseObject {
  const spec = { snapshotID: `ivd:${FCD}:${SNAPSHOT}` }
  return { apiVersion: 'v1', kind: 'Upload', metadata: { name: 'u' }, spec, status: { slice } }
}

type Parts = { endAccess?: (disk: DiskRef, kill: AbortSignal) => Promise<void>; diskAccess?: () => Promise<object> }

/** A clock whose time passes only by `pass`. */
function aWorld({ endAccess = async () => {}, diskAccess = async () => ({}) }: Parts = {}) {
  const asked: string[] = []
  const { sleep, pass, sleptMs } = slowSleep()
  const ended = (disk: DiskRef, kill: AbortSignal) => {
    asked.push(`${disk.fcdId} ${disk.snapshotId}`)
    kill.addEventListener('abort', () => void asked.push('kill'))
    return endAccess(disk, kill)
  }
  const mover = { endAccess: ended }
  const deps = { clock: { sleep }, volumes: { diskAccess }, mover } as unknown as TransferDeps
  return { deps, asked, pass, sleptMs }
}

const letGo = suite('letting go of a disk')

letGo('once a slice was begun the mover is asked, with disk and snapshot', async () => {
  const { deps, asked, pass } = aWorld()
  await releaseDisk(deps, anUpload(1))
  pass()
  await new Promise((resolve) => setImmediate(resolve))
  assert.equal(asked, [`${FCD} ${SNAPSHOT}`])
})

letGo('without a slice no mover is asked', async () => {
  for (const slice of [undefined, 0]) {
    const { deps, asked } = aWorld()
    await releaseDisk(deps, anUpload(slice))
    assert.equal(asked, [])
  }
})

letGo('a disk that is gone needs nothing; any other trouble is thrown', async () => {
  const gone = aWorld({ diskAccess: () => Promise.reject(new TerminalError('VolumeNotFound', 'gone')) })
  await releaseDisk(gone.deps, anUpload(1))
  assert.equal(gone.asked, [])
  for (const error of [new RetryableError('VCenterUnreachable', 'away'), new Error('else')]) {
    const { deps } = aWorld({ diskAccess: () => Promise.reject(error) })
    await releaseDisk(deps, anUpload(1)).then(
      () => assert.unreachable(),
      (thrown: unknown) => assert.is(thrown, error),
    )
  }
})

letGo('a mover that does not answer is killed', async () => {
  const never = Promise.withResolvers<void>()
  const { deps, asked, pass, sleptMs } = aWorld({ endAccess: () => never.promise })
  const going = releaseDisk(deps, anUpload(1))
  await new Promise((resolve) => setImmediate(resolve))
  assert.is(sleptMs(), 20_000)
  pass()
  await new Promise((resolve) => setImmediate(resolve))
  assert.is(asked.at(-1), 'kill')
  never.reject(new RetryableError('MoverKilled', 'killed'))
  await going.then(
    () => assert.unreachable(),
    (error: RetryableError) => assert.is(error.reason, 'MoverKilled'),
  )
})

letGo.run()
