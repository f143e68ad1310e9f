// What a tenant or an attacker who writes to the bucket can put into an item, and what a broken client can send: one call may fail, but the
// process lives on and answers the next one.

import { mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { MessageValue } from '#shared/domain/protobuf.ts'
import { killLeftPlugins, METHODS, type Plugin, readError, startPlugin } from './go-plugin-client.ts'

const test = suite('hostile input of the Velero plugin')

const EXECUTE = '/v2.BackupItemAction/Execute'
const RUN = JSON.stringify({ kind: 'Backup', metadata: { name: 'nightly' } })
const item = (fields: object = {}) =>
  JSON.stringify({ kind: 'PersistentVolumeClaim', metadata: { name: 'data', namespace: 'shop' }, ...fields })
const execute = (fields: object) => ({ plugin: 'dormouse.dev/tiny-backup', item: item(fields), backup: RUN })
const EXECUTES: [path: string, request: MessageValue][] = [
  [EXECUTE, { plugin: 'dormouse.dev/tiny-backup', backup: RUN }],
  ['/v2.RestoreItemAction/Execute', { plugin: 'dormouse.dev/tiny-restore', restore: RUN, itemFromBackup: item() }],
  ['/generated.DeleteItemAction/Execute', { plugin: 'dormouse.dev/tiny-delete', backup: RUN }],
]
const PROGRESSES: [path: string, request: MessageValue][] = [
  ['/v2.BackupItemAction/Progress', { plugin: 'dormouse.dev/tiny-backup', backup: RUN }],
  ['/v2.RestoreItemAction/Progress', { plugin: 'dormouse.dev/tiny-restore', restore: RUN }],
]

let folder = ''
let plugin: Plugin
// One process for all tests, so that later ones notice the damage of an earlier call.
test.before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'plugin-'))
  plugin = await startPlugin({ env: { TMPDIR: folder } })
})
test.after(() => {
  killLeftPlugins()
  rmSync(folder, { recursive: true, force: true })
})

async function refusal(path: string, request: MessageValue) {
  const error = await plugin.call(path, request).then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  assert.ok(error, `${path} did not fail`)
  return readError(error)
}

async function livesOn(): Promise<void> {
  assert.equal(await plugin.call('/grpc.health.v1.Health/Check', { service: '' }), { status: 1 })
  assert.equal([plugin.child.exitCode, plugin.child.signalCode, plugin.stdout.length], [null, null, 1])
}

test('lines in a message that look like frames of a stack are not taken for some, and end no process', async () => {
  for (const line of ['at f (file:///a%2Fb:1:1)', 'at f (file://host/b:1:1)', 'at evil (/etc/passwd:1:1)']) {
    const { details, frames } = await refusal(EXECUTE, execute({ do: 'throw', why: `x\n    ${line}` }))
    assert.match(details, line)
    assert.is(frames[0]?.['function'], 'throwsHere')
  }
  await livesOn()
})

for (const how of ['null', 'nothing', 'object', 'symbol', 'proxy', 'getter']) {
  test(`an action that throws what cannot be read (${how}) fails one call, and no operation`, async () => {
    for (const [path, request] of EXECUTES) {
      await refusal(path, { ...request, item: item({ do: 'throw-odd', how }) })
    }
    for (const [path, request] of PROGRESSES) {
      const { progress } = await plugin.call(path, { ...request, operationID: `odd ${how}` })
      assert.is((progress as MessageValue)['completed'], false)
    }
    await livesOn()
  })
}

test('an item whose name has no text fails its call only, also when its action fails meanwhile', async () => {
  const metadata = { name: { toString: 1, valueOf: 1 }, namespace: [{ toString: 1, valueOf: 1 }] }
  for (const [path, request] of EXECUTES) {
    const { details } = await refusal(path, { ...request, item: item({ metadata, do: 'throw', why: 'its own error' }) })
    assert.is(details, 'NoSuchDisk: its own error')
  }
  await livesOn()
})

test('a timeout of 100,000 digits delays no call', async () => {
  const annotations = { 'velero.io/resource-timeout': '1'.repeat(100_000) }
  const backup = JSON.stringify({ kind: 'Backup', metadata: { name: 'nightly', annotations } })
  const startMs = performance.now()
  await plugin.call(EXECUTE, { ...execute({}), backup })
  assert.ok(performance.now() - startMs < 5000)
})

test('an item above 4 MiB, the usual limit of gRPC, goes through whole', async () => {
  const large = item({ data: 'ä'.repeat(2.5 * 2 ** 20) })
  const answer = await plugin.call(EXECUTE, { ...execute({}), item: large })
  assert.is(answer['item'], large)
})

test('an item that is nested too deep for JSON fails its call only', async () => {
  const deep = `{"kind":"Pod","metadata":{},"deep":${'['.repeat(1e5)}${']'.repeat(1e5)}}`
  await refusal(EXECUTE, { ...execute({}), item: deep })
  await livesOn()
})

const NO_MESSAGES: [what: string, bytes: Buffer][] = [
  ['a length beyond the end', Buffer.from([0x12, 0xff, 0xff, 0xff, 0xff, 0x0f, 1])],
  ['a number where bytes belong', Buffer.from([0x10, 5])],
  ['a million groups inside of each other', Buffer.alloc(1e6, 0x0b)],
  ['a varint without an end', Buffer.alloc(64, 0xff)],
  ['zeros', Buffer.alloc(1024)],
]
test('bytes that are no message fail their call only, whatever the method', async () => {
  for (const [what, bytes] of NO_MESSAGES) {
    for (const path of Object.keys(METHODS).filter((name) => /Execute$|Progress$|Cancel$|Init$/.test(name))) {
      const error = await plugin.callBytes(path, bytes).then(
        () => undefined,
        (thrown: unknown) => thrown,
      )
      assert.ok(error, `${path}: ${what}`)
    }
  }
  await livesOn()
})

test('five hundred calls at once all get their answers', async () => {
  const data = 'y'.repeat(10_000)
  const answers = await Promise.all(
    Array.from({ length: 500 }, (_, n) => plugin.call(EXECUTE, { ...execute({ data, n }) })),
  )
  const seen = answers.map(({ item: back }) => JSON.parse(String(back)).n)
  assert.equal(
    seen,
    seen.map((_, n) => n),
  )
})

test('clients that speak no HTTP/2, or nothing at all, hold up neither a call nor the end', async () => {
  const sockets = Array.from({ length: 20 }, () => connect(plugin.handshake.address))
  for (const [index, socket] of sockets.entries()) {
    socket.on('error', () => undefined) // cut off, as it should be
    if (index % 2 === 0) socket.write(`GET / HTTP/1.1\r\n\r\n${'x'.repeat(10_000)}`)
  }
  await sleep(50)
  await livesOn()
  const { code, tookMs } = await plugin.shutdown()
  for (const socket of sockets) socket.destroy()
  assert.is(code, 0)
  assert.ok(tookMs < 2000, `${tookMs} ms, and go-plugin kills after 2000`)
})

test.run()
