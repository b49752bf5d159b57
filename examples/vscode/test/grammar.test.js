// Every line of grammar.Pipelinefile has the scopes that the comments below it claim:
// "^" marks columns of the last line that is no such comment, "# <---" its first ones.
"use strict";

const assert = require("node:assert");
const fs = require("node:fs");
const path = require("node:path");
const test = require("node:test");

// The engine of VS Code.
const oniguruma = require("vscode-oniguruma");
const textmate = require("vscode-textmate");

const here = (name) => path.join(__dirname, name);

test("scopes", async () => {
  await oniguruma.loadWASM(fs.readFileSync(require.resolve("vscode-oniguruma/release/onig.wasm")));
  const registry = new textmate.Registry({
    onigLib: Promise.resolve({
      createOnigScanner: (patterns) => new oniguruma.OnigScanner(patterns),
      createOnigString: (text) => new oniguruma.OnigString(text),
    }),
    loadGrammar: async () =>
      textmate.parseRawGrammar(fs.readFileSync(here("../syntaxes/pipelinefile.tmLanguage.json"), "utf8"), "grammar.json"),
  });
  const grammar = await registry.loadGrammar("source.pipelinefile");
  let stack = textmate.INITIAL;
  let tokens = [];
  let claims = 0;
  const lines = fs.readFileSync(here("grammar.Pipelinefile"), "utf8").split("\n");
  lines.forEach((line, i) => {
    const claim = /^#( *)(\^+|<---) ([\w.-]+)$/.exec(line);
    if (!claim) {
      const result = grammar.tokenizeLine(line, stack);
      stack = result.ruleStack;
      tokens = result.tokens;
      return;
    }
    claims++;
    const start = claim[2] === "<---" ? 0 : claim[1].length + 1;
    const end = claim[2] === "<---" ? 1 : start + claim[2].length;
    for (let col = start; col < end; col++) {
      const token = tokens.find((t) => t.startIndex <= col && col < t.endIndex);
      assert.ok(token, `line ${i + 1}: no token at ${col}`);
      assert.ok(token.scopes.some((s) => s.startsWith(claim[3])), `line ${i + 1}, column ${col}: ${token.scopes}, want ${claim[3]}`);
    }
  });
  assert.ok(claims > 40, "the claims are not read");
});
