// Each mutant's patch applies to the current code: `make mutants` takes half an hour, and would find out only then.

import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'

const FOLDER = 'test/mutants'
const test = suite('the mutants')

test('every patch applies to the code as it stands', () => {
  const patches = readdirSync(FOLDER).filter((file) => file.endsWith('.patch'))
  assert.ok(patches.length > 40)
  const applies = (file: string) => spawnSync('git', ['apply', '--check', `${FOLDER}/${file}`]).status === 0
  assert.equal(
    patches.filter((file) => !applies(file)),
    [],
  )
})

test.run()
