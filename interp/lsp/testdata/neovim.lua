-- What an editor does, by Neovim's own client. The result is written as JSON, for the test to look at.
local result = {}
local patience = 120000 -- only if something hangs

local function wait(what, ok)
  if not vim.wait(patience, ok, 20) then
    error("Neovim waits in vain for " .. what .. ": " .. vim.inspect(vim.tbl_map(function(d) return d.message end, vim.diagnostic.get())))
  end
end

local function run()
  vim.cmd("edit " .. vim.env.PIPE_TEST_ROOT .. "/Pipelinefile")
  local buf = vim.api.nvim_get_current_buf()
  local id = vim.lsp.start_client({ name = "pipe", cmd = { vim.env.PIPE_TEST_SERVER }, root_dir = vim.env.PIPE_TEST_ROOT })
  wait("the server", function() return vim.lsp.get_client_by_id(id) and vim.lsp.get_client_by_id(id).initialized end)
  vim.lsp.buf_attach_client(buf, id)

  local function messages()
    local out = {}
    for _, d in ipairs(vim.diagnostic.get(buf)) do
      table.insert(out, string.format("%d:%d %s", d.lnum + 1, d.col, vim.split(d.message, "\n")[1]))
    end
    return out
  end
  local function ask(method, line, needle, more)
    local text = vim.api.nvim_buf_get_lines(buf, line - 1, line, false)[1]
    vim.api.nvim_win_set_cursor(0, { line, assert(text:find(needle, 1, true), needle) - 1 + math.floor(#needle / 2) })
    local params = vim.lsp.util.make_position_params(0, "utf-16")
    for k, v in pairs(more or {}) do
      params[k] = v
    end
    local answers = assert(vim.lsp.buf_request_sync(buf, method, params, patience))
    assert(answers[id] and not answers[id].err, vim.inspect(answers))
    return answers[id].result
  end

  wait("diagnostics", function() return #vim.diagnostic.get(buf) > 0 end)
  result.wrong = messages()
  -- A change in the middle of a line, behind a character that is two units of UTF-16.
  vim.api.nvim_buf_set_text(buf, 3, 15, 3, 19, { "d", "b" })
  vim.api.nvim_buf_set_text(buf, 3, 15, 4, 0, { "d" })
  local from = vim.api.nvim_buf_get_lines(buf, 3, 4, false)[1]:find("nobody", 1, true) - 1
  vim.api.nvim_buf_set_text(buf, 3, from, 3, from + #"nobody", { '"redis"' })
  vim.api.nvim_buf_set_text(buf, 2, 0, 2, 0, { "# 🙂", "" })
  wait("no diagnostics", function() return #vim.diagnostic.get(buf) == 0 end)
  result.text = vim.api.nvim_buf_get_lines(buf, 0, -1, false)

  result.hover = ask("textDocument/hover", 5, "database").contents.value
  result.signature = ask("textDocument/signatureHelp", 5, "engine").signatures[1].label
  result.symbols = vim.tbl_map(function(s) return s.name end, ask("textDocument/documentSymbol", 1, "load"))
  result.completion = {}
  for _, item in ipairs(ask("textDocument/completion", 7, "host").items) do
    table.insert(result.completion, item.label)
  end
  result.references = #ask("textDocument/references", 6, "site", { context = { includeDeclaration = true } })
  vim.lsp.util.apply_workspace_edit(ask("textDocument/rename", 6, "site", { newName = "page" }), "utf-16")
  -- With a configuration the client is attached to every file that is opened.
  vim.lsp.buf_attach_client(vim.fn.bufnr("lib/web.star"), id)
  result.renamed = vim.api.nvim_buf_get_lines(buf, 0, -1, false)
  local target = ask("textDocument/definition", 6, "page")[1]
  vim.lsp.util.jump_to_location(target, "utf-16")
  result.jumped = { vim.fn.expand("%:t"), vim.api.nvim_win_get_cursor(0), vim.api.nvim_get_current_line() }

  vim.lsp.stop_client(id)
  wait("the server's end", function() return vim.lsp.get_client_by_id(id) == nil end)
end

local ok, err = pcall(run)
if not ok then
  result.error = tostring(err)
end
vim.fn.writefile({ vim.fn.json_encode(result) }, vim.env.PIPE_TEST_RESULT)
vim.cmd("qall!")
