// When the scratch disk is full or gone, a transfer waits with a reason, and continues once there is room.

import { mkdir, mkdtemp, readFile, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { RetryableError } from '#shared/kernel/errors.ts'
import { Scratch } from '#shared/wiring/scratch.ts'

const test = suite('scratch files')
let place: string

test.before.each(async () => {
  place = await mkdtemp(join(tmpdir(), 'dormouse-scratch-'))
})
test.after.each(async () => {
  await rm(place, { recursive: true, force: true })
})

async function refusal(work: Promise<unknown>): Promise<RetryableError> {
  const error: unknown = await work.then(
    () => 'it did not fail',
    (thrown: unknown) => thrown,
  )
  assert.ok(error instanceof RetryableError && error.reason === 'ScratchUnavailable', String(error))
  return error as RetryableError
}

test('a folder that cannot be made is tried again at the next transfer', async () => {
  const scratch = new Scratch(join(place, 'later'))
  await refusal(scratch.folder())
  await refusal(scratch.write('a', 'x'))
  await mkdir(join(place, 'later'))
  const file = await scratch.write('a', 'x')
  assert.is(await readFile(file, 'utf8'), 'x')
  assert.is(await scratch.folder(), await scratch.folder())
})

test('a full disk is named', async () => {
  const scratch = new Scratch(place)
  await symlink('/dev/full', join(await scratch.folder(), 'a'))
  const error = await refusal(scratch.write('a', 'x'))
  assert.match(error.message, 'ENOSPC')
})

test.run()
