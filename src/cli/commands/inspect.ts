import type { Verb } from '../env.ts'
export const inspect: Verb = { name: 'inspect', summary: 'x', define() {}, async run() {} }
