#!/usr/bin/env node
// All that must hold before a commit, in order; stops at the first that does not. Usage: npm run check [-- except tests]
import { execFileSync } from 'node:child_process'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'

const root = resolve(import.meta.dirname, '..')
const read = (path: string) => readFileSync(join(root, path), 'utf8')

function run(program: string, ...args: string[]): void {
  execFileSync(program, args, { cwd: root, stdio: 'inherit' })
}

const installed = (program: string) => join(root, 'node_modules/.bin', program)

/** @throws with one line for each fault */
function none(what: string, faults: readonly string[]): void {
  if (faults.length > 0) throw new Error(`${what}:\n  ${faults.join('\n  ')}`)
}

type Package = Partial<Record<'dependencies' | 'devDependencies' | 'optionalDependencies', Record<string, string>>>

function directDependencies(): [name: string, version: string][] {
  const { dependencies, devDependencies, optionalDependencies } = JSON.parse(read('package.json')) as Package
  return [dependencies, devDependencies, optionalDependencies].flatMap((group) => Object.entries(group ?? {}))
}

type Locked = { readonly resolved?: string; readonly optionalDependencies?: Record<string, string> }

/** Every version is pinned, and the lock names no host from which somebody happened to install. */
function versions(): void {
  const loose = directDependencies().filter(([, version]) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version))
  none(
    'package.json has versions that are not exact',
    loose.map(([name, version]) => `${name}: ${version}`),
  )
  const { packages } = JSON.parse(read('package-lock.json')) as { packages: Record<string, Locked> }
  const hosted = Object.entries(packages).filter(([, { resolved }]) => resolved?.includes('://'))
  none(
    'package-lock.json names hosts; npm install with this project’s .npmrc leaves them out',
    hosted.map(([path]) => path),
  )
  // npm leaves out what the registry of the moment doesn't have, and `npm ci` then fails where it has it.
  const left = Object.values(packages).flatMap(({ optionalDependencies }) => Object.keys(optionalDependencies ?? {}))
  none(
    'package-lock.json leaves out packages for other platforms',
    left.filter((name) => !Object.keys(packages).some((path) => path.endsWith(`node_modules/${name}`))),
  )
}

function explainedDependencies(): void {
  const page = 'docs/dependencies.md'
  if (!existsSync(join(root, page))) throw new Error(`${page} is missing; it says why each dependency is trusted`)
  const text = read(page)
  const missing = directDependencies().filter(([name]) => !text.includes(`\`${name}\``))
  none(
    `${page} does not say why these are trusted`,
    missing.map(([name]) => name),
  )
}

/** Links of Markdown files to files and headings here. What is elsewhere is not looked up. */
function links(): void {
  const pages = globSync('**/*.md', { cwd: root, exclude: ['node_modules/**', 'dist/**', 'coverage/**'] })
  none(
    'links lead nowhere',
    pages.flatMap((page) => linksOf(read(page)).flatMap((link) => fault(page, link))),
  )
}

function linksOf(markdown: string): string[] {
  const found = withoutCode(markdown).matchAll(/\]\(<?([^)\s>]+)>?(?:\s+"[^"]*")?\)|^\[[^\]]+\]:\s+<?([^\s>]+)/gm)
  return [...found].map(([, inline, defined]) => (inline ?? defined) as string)
}

function fault(page: string, link: string): string[] {
  if (/^[a-z][a-z0-9+.-]*:/i.test(link)) return []
  const [path = '', anchor] = link.split('#', 2)
  const target = path === '' ? page : relative(root, resolve(root, dirname(page), decodeURIComponent(path)))
  if (!existsSync(join(root, target))) return [`${page}: ${link}`]
  if (anchor === undefined || !target.endsWith('.md') || anchorsOf(read(target)).has(anchor)) return []
  return [`${page}: ${link} (no such heading)`]
}

/** As GitHub names headings. */
function anchorsOf(markdown: string): ReadonlySet<string> {
  const anchors = new Set<string>()
  for (const [, heading = ''] of withoutFences(markdown).matchAll(/^#{1,6}\s+(.+?)\s*#*$/gm)) {
    const plain = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase()
    const slug = plain.replace(/[^\p{L}\p{N}\s_-]/gu, '').replace(/\s/g, '-')
    let anchor = slug
    for (let count = 1; anchors.has(anchor); count++) anchor = `${slug}-${count}`
    anchors.add(anchor)
  }
  return anchors
}

const withoutFences = (markdown: string) => markdown.replace(/^( *)(```|~~~)[\s\S]*?^ *\2/gm, '')
const withoutCode = (markdown: string) => withoutFences(markdown).replace(/`[^`\n]*`/g, '')

const STEPS: Readonly<Record<string, () => void>> = {
  types: () => run(installed('tsc')),
  lint: () => run(installed('biome'), 'check', '--error-on-warnings'),
  tests: () => run('npm', 'test'),
  build: () => run('npm', 'run', '--silent', 'build'),
  'what was built runs': () => run('dist/bin/alcazar', 'version'),
  links,
  versions,
  dependencies: explainedDependencies,
}

const [except, ...left] = process.argv.slice(2)
if ((except !== undefined && except !== 'except') || !left.every((name) => name in STEPS)) {
  process.stderr.write(`usage: npm run check [-- except STEP…]\nsteps: ${Object.keys(STEPS).join(', ')}\n`)
  process.exit(2)
}
let passed = 0
for (const [name, step] of Object.entries(STEPS)) {
  if (left.includes(name)) continue
  const began = performance.now()
  const took = () => `(${((performance.now() - began) / 1000).toFixed(1)} s)`
  try {
    step()
    passed++
    process.stdout.write(`✔ ${name}  ${took()}\n`)
  } catch (error) {
    process.stdout.write(`✘ ${name}  ${took()}\n${(error as Error).message}\n\n${passed} passed, 1 failed\n`)
    process.exit(1)
  }
}
process.stdout.write(`\n${passed} passed, 0 failed\n`)
