// How many places a reader has to visit to follow a transfer (docs/design/0009-controllers.md).

import { readFileSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { walkOf } from '../../hack/walk.ts'

const MOST = [
  {
    table: 'UPLOAD',
    row: 'an upload, now',
    stays: 40,
    returns: 25,
    through: ['shared/controllers/slots.ts', 'functions/upload/prepare.ts'],
  },
  {
    table: 'DOWNLOAD',
    row: 'a download, now',
    stays: 30,
    returns: 15,
    through: ['shared/controllers/slots.ts', 'functions/download/clone.ts'],
  },
]

const PAGE = 'docs/design/0009-controllers.md'

/** The counts in a row of the page's table. */
function toldIn(row: string): { stays: number; files: number; returns: number } {
  const line = readFileSync(PAGE, 'utf8')
    .split('\n')
    .find((each) => each.startsWith(`| ${row} |`))
  assert.ok(line, `${PAGE} has no row “${row}”`)
  const [stays = NaN, files = NaN, returns = NaN] = line.split('|').slice(2).map(Number)
  return { stays, files, returns }
}

for (const { table, row, through, ...most } of MOST) {
  test(`reading ${table} takes at most ${most.stays} places and ${most.returns} returns`, () => {
    const { stays, returns, trace } = walkOf(table, 'transfer')
    assert.ok(
      stays <= most.stays && returns <= most.returns,
      `${stays} stays, ${returns} returns:\n${trace.join('\n')}`,
    )
    // A walk that stopped too early would be short, too.
    for (const file of through)
      assert.ok(
        trace.some((entry) => entry.startsWith(`${file} `)),
        `${file} is not passed`,
      )
  })

  test(`${PAGE} tells the counts of ${table}`, () => {
    const { trace: _, ...counted } = walkOf(table, 'transfer')
    assert.equal(toldIn(row), counted, `the row “${row}” of ${PAGE} is not what node hack/walk.ts prints`)
  })
}

test.run()
