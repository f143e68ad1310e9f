// Environments beside each other, and how they end: in order, and when the starter is killed.

import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { aSnapshot, echoes, startEcho, until } from '#test/environment/fixtures/echo/start.ts'
import { identity, sweepFolders } from '#test/environment/folder.ts'
import { descendants } from '#test/environment/process/memory.ts'
import { PROJECT } from '#test/environment/process/tools.ts'

const STARTER = path.join(PROJECT, 'test/environment/fixtures/echo/starter.ts')
const ends = suite('ends')

/** Those of `pids` that still run: a zombie does not count. */
const alive = (identities: (string | undefined)[]) =>
  identities.filter((one) => one !== undefined && identity(Number(one.split(' ')[0])) === one)

ends('two environments side by side do not see each other, and each ends alone', async () => {
  const [one, other] = await Promise.all([startEcho(), startEcho()])
  const startedByUs = descendants(process.pid).map(identity)
  try {
    await Promise.all([one, other].map((each) => each.createNamespace('app')))
    await one.api.create(aSnapshot('mine'))
    await other.api.create(aSnapshot('yours'))
    await until('both events', () => echoes(one, 'mine').length === 1 && echoes(other, 'yours').length === 1)
    assert.equal([echoes(one, 'yours'), echoes(other, 'mine')], [[], []])
    await one.stop()
    assert.not(existsSync(one.parts.folder))
    await other.api.create(aSnapshot('still'))
    await until('the other goes on', () => echoes(other, 'still').length === 1)
  } finally {
    await Promise.all([one.stop(), other.stop()])
  }
  assert.equal(alive(startedByUs), [])
})

ends('kill -9 of the starter leaves no process, and the next start removes its folder', async () => {
  const starter = spawn(process.execPath, [STARTER], { stdio: ['ignore', 'pipe', 'inherit'] })
  let said = ''
  starter.stdout.on('data', (bytes: Buffer) => {
    said += bytes
  })
  await until('the environment of the other process is up', () => said.includes('\n'), 60_000)
  const { folder, functions } = JSON.parse(said)
  assert.is(functions.echo.instances, 1)
  const started = descendants(starter.pid!).map(identity)
  const names = started.map((one) => readFileSync(`/proc/${one?.split(' ')[0]}/comm`, 'utf8').trim())
  for (const program of ['etcd', 'kube-apiserver', 'versitygw', 'vcenter', 'apiserver_recei']) {
    assert.ok(names.includes(program), `${program} runs`)
  }
  starter.kill('SIGKILL')
  await until('nothing of it runs', () => alive(started).length === 0, 5000)
  assert.ok(existsSync(folder), 'nobody was left to remove it')
  await sweepFolders()
  assert.not(existsSync(folder))
})
ends.run()
