// The object store in a folder, chosen by settings like every other one, keeps the contract of the port.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { folderStore } from '#test/support/stores.ts'
import { storeSuite } from './store-suite.ts'

storeSuite('object store in a folder', async () => {
  const around = await mkdtemp(join(tmpdir(), 'dormouse-store-'))
  const open = async () => folderStore(join(around, 'store'))
  return { store: await open(), open, stop: () => rm(around, { recursive: true, force: true }) }
})
