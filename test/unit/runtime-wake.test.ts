// The event that wakes a function, from its sender to the function that receives it.

import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { RetryableError } from '#shared/kernel/errors.ts'
import type { ObjectRef } from '#shared/runtime/ref.ts'
import { functionUrl, sendWake } from '#shared/runtime/wake.ts'
import { rejects } from '#test/contract/cluster-rejects.ts'
import { startFunction } from './runtime-support.ts'

const test = suite('wake')
const UPLOAD: ObjectRef = { kind: 'Upload', namespace: 'velero', name: 'upload-1' }
const REPOSITORY: ObjectRef = { kind: 'BackupRepository', namespace: undefined, name: 'br-1' }

test('a wake-up reaches the function as one of the sweep, for any kind', async () => {
  const seen: unknown[] = []
  const served = await startFunction({
    kinds: ['Upload', 'BackupRepository'],
    handle: async ({ cause }, ref) => {
      seen.push([cause, ref])
      return 'ok'
    },
  })
  assert.is(await sendWake(served.url, UPLOAD), 'accepted')
  assert.is(await sendWake(served.url, REPOSITORY), 'accepted')
  await served.stop()
  assert.equal(seen, [
    ['sweep', UPLOAD],
    ['sweep', REPOSITORY],
  ])
})

test('a function that works on is not waited for, and not cut off', async () => {
  const ended = Promise.withResolvers<string>()
  const served = await startFunction({
    handle: async (_context, _ref, signal) => {
      await new Promise((resolve) => setTimeout(resolve, 100))
      ended.resolve(signal.aborted ? 'cut off' : 'ended')
      return 'ok'
    },
  })
  assert.is(await sendWake(served.url, UPLOAD, { waitMs: 20 }), 'sent')
  assert.is(await ended.promise, 'ended')
  await served.stop()
})

test('a refusal and an absent receiver ask for another try', async () => {
  const server = createServer((_request, response) => response.writeHead(503).end())
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const error = await rejects(sendWake(url, UPLOAD), RetryableError, 'WakeFailed')
  assert.match(error.message, 'wake Upload velero/upload-1 by ')
  assert.match(error.message, 'answered 503')
  await new Promise((resolve) => server.close(resolve))
  await rejects(sendWake(url, UPLOAD), RetryableError, 'WakeFailed')
})

test('a receiver that takes no connection is given up', async () => {
  // An address of the documentation range (RFC 5737), where no host answers.
  await rejects(sendWake('http://192.0.2.1:9', UPLOAD, { waitMs: 50 }), RetryableError, 'WakeFailed')
})

test('the address of a function is made from the template', () => {
  const template = 'http://dormouse-{step}.velero.svc.cluster.local'
  assert.is(functionUrl(template, 'upload'), 'http://dormouse-upload.velero.svc.cluster.local')
})

test.run()
