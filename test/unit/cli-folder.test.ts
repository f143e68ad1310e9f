// The command line on a repository in a folder, on a machine that has no cluster.

import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { systemClock } from '#shared/kernel/clock.ts'
import { blockSourceOf } from '#shared/movers/block/block-source.ts'
import { requireRepository } from '#shared/repository/core/repository.ts'
import { createRepositories } from '#shared/repository/repositories.ts'
import { CHEAP_SCRYPT, access as plainAccess } from '#test/support/engine-world.ts'
import { reasonOf } from '#test/support/reason.ts'
import { folderSettings, folderStore } from '#test/support/stores.ts'
import { type PruneFlags, pruneCommand } from '../../cli/prune.ts'
import { openRepositoryCommand } from '../../cli/repository-open.ts'

const test = suite('dormouse on a folder')
const scratch = mkdtempSync(join(tmpdir(), 'dormouse-cli-folder-'))
const folder = join(scratch, 'repository')
const passwordFile = join(scratch, 'password')
const newPasswordFile = join(scratch, 'new-password')
const prune = (flags: Partial<PruneFlags>) => pruneCommand({ sessionIdleHours: '24', ...flags }, () => {})

test.before(async () => {
  writeFileSync(passwordFile, `${plainAccess.password}\n`)
  writeFileSync(newPasswordFile, 'another one')
  const repositories = createRepositories({
    storeOf: () => folderStore(folder),
    clock: systemClock,
    scrypt: CHEAP_SCRYPT,
    sourceOf: blockSourceOf,
  })
  await repositories.ensure({ ...plainAccess, store: folderSettings(folder) }, undefined)
})
test.after(() => rmSync(scratch, { recursive: true }))

test('prune finds it by its path, from wherever it is called', async () => {
  for (const path of [folder, relative(process.cwd(), folder)])
    assert.is((await prune({ folder: path, passwordFile })).state, 'done')
})

test('the command takes the path', () => {
  const words = ['cli/main.ts', 'prune', '--folder', folder, '--password-file', passwordFile]
  assert.match(execFileSync(process.execPath, words, { encoding: 'utf8' }), /backups name 0 packs/)
})

test('another password can be added', async () => {
  const flags = { folder, currentPasswordFile: passwordFile, passwordFile: newPasswordFile }
  const { location, slot } = await openRepositoryCommand(flags)
  assert.is(location, `file://${folder}`)
  assert.match(slot ?? '', /^keys\//)
  const opened = await requireRepository(folderStore(folder), 'another one')
  assert.is(
    opened.config.repositoryId,
    (await requireRepository(folderStore(folder), plainAccess.password)).config.repositoryId,
  )
})

test('options of a bucket or a cluster are refused beside a folder, and the password comes from a file', async () => {
  const beside: Partial<PruneFlags>[] = [
    { parameter: ['bucket=b'] },
    { credentialsFile: passwordFile },
    { customerKeyFile: passwordFile },
    { location: 'default' },
    { repository: 'br-1' },
  ]
  for (const flags of beside) assert.is(await reasonOf(prune({ folder, passwordFile, ...flags })), 'UsageInvalid')
  assert.is(await reasonOf(prune({ folder })), 'UsageInvalid')
  const ways = { folder, passwordFile, closeOthers: true } as const
  assert.is(await reasonOf(openRepositoryCommand(ways)), 'UsageInvalid', 'there is no Secret to open it with')
})

test('a missing folder and a folder without a repository are reported as such', async () => {
  assert.is(await reasonOf(prune({ folder: join(scratch, 'missing'), passwordFile })), 'StoreUnavailable')
  assert.is(await reasonOf(prune({ folder: scratch, passwordFile })), 'RepositoryMissing')
})

test.run()
