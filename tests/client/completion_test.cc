// graft __complete: what may follow at the cursor.
#include "client/completion.h"

#include "tests/client/fake_server.h"

namespace graft {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class CompletionTest : public testing::CliTest {
 protected:
  std::string Complete(std::vector<std::string> words) {
    words.insert(words.begin(), {"__complete", "--", "--server", server_.address()});
    out_.str("");
    EXPECT_EQ(RunCli(words, &out_, &err_, false, false), 0);
    EXPECT_EQ(err_.str(), "");
    return out_.str();
  }
};

TEST_F(CompletionTest, ScriptsCallTheProgram) {
  for (const char* shell : {"bash", "zsh"}) {
    EXPECT_EQ(Run({"completion", shell}), 0);
    EXPECT_THAT(out_.str(), HasSubstr("__complete"));
  }
  EXPECT_EQ(Run({"completion", "fish"}), 2);
}

TEST_F(CompletionTest, CommandsOptionsAndKeys) {
  EXPECT_EQ(Complete({"da"}), "dataset\n");
  EXPECT_THAT(Complete({"dataset", ""}), AllOf(HasSubstr("create\n"), HasSubstr("upload\n")));
  EXPECT_EQ(Complete({"train", "m", "--d"}), "--dataset\n--dry-run\n");
  EXPECT_EQ(Complete({"train", "m", "--preset", ""}), "recommended\nreference\n");
  EXPECT_THAT(Complete({"train", "m", "--v"}),
              AllOf(HasSubstr("--variant\n"), HasSubstr("--version\n"), Not(HasSubstr("--dataset"))));
  EXPECT_EQ(Complete({"train", "m", "--set", "ep"}), "epochs=\nepsilon=\n");
  EXPECT_EQ(Complete({"train", "m", "--set", "optimizer=ad"}), "optimizer=adam\noptimizer=adamw\n");
  EXPECT_EQ(Complete({"train", "m", "--set", "epochs=1", "--set", "rh"}), "rho=\n");
  EXPECT_EQ(Complete({"evaluate", "m", "--split", ""}), "train\nvalidation\ntest\n");
  EXPECT_EQ(Complete({"evaluate", "--split=t"}), "--split=train\n--split=test\n");
  EXPECT_EQ(Complete({"dataset", "preview", "d", "--augment", "ro"}), "rotation=\n");
  EXPECT_EQ(Complete({"dataset", "preview", "d", "--augment", "fill=r"}), "fill=reflect\n");
  EXPECT_EQ(Complete({"--format", ""}), "text\njson\n");
  EXPECT_EQ(Complete({"job", "list", "--kind", ""}),
            "split\ntrain\nextract_features\nevaluate\nfind_mistakes\nrecommend\n");
  EXPECT_EQ(Complete({"job", "list", "--state", "s"}), "succeeded\n");
  EXPECT_EQ(Complete({"completion", "b"}), "bash\n");
}

TEST_F(CompletionTest, NamesOfTheServer) {
  EXPECT_EQ(Complete({"dataset", "show", ""}), "pets\n");  // a name of two lines would be two
  EXPECT_EQ(Complete({"train", "m", "--dataset", "p"}), "pets\n");
  EXPECT_EQ(Complete({"train", "m", "--dataset=p"}), "--dataset=pets\n");
  EXPECT_EQ(Complete({"classify", ""}), "m\nother\n");
  EXPECT_EQ(Complete({"classify", "m@"}), "m@3\nm@1\n");
  EXPECT_EQ(Complete({"features", "--model", "other@"}), "other@7\n");
  EXPECT_EQ(Complete({"model", "mistakes", "m@"}), "m@3\nm@1\n");
  EXPECT_EQ(Complete({"train", "m@"}), "");  // the next version is the server's to number
  EXPECT_EQ(Complete({"features", "--trunk", ""}), "vgg16\nresnet50\n");
  EXPECT_EQ(Complete({"variant", "show", "variant"}), "variant1\nvariant2\nvariant3\n");
  EXPECT_EQ(Complete({"explain", "m", "--label", ""}), "cat\ndog\n");
  EXPECT_EQ(Complete({"explain", "m", "--layers", ""}), "list\nblock1_conv1\nblock1_pool\n");
  EXPECT_EQ(Complete({"explain", "m", "--layers", "block1_conv1,block1_p"}), "block1_conv1,block1_pool\n");
  EXPECT_EQ(Complete({"job", "watch", "job-12"}), "job-120\n");  // of the newest
  EXPECT_EQ(Complete({"job", "curves", "job-12"}), "job-120\n");
  EXPECT_EQ(Complete({"job", "tensorboard", "--out", "runs", "job-12"}), "job-120\n");
}

TEST_F(CompletionTest, TheCursorsPlaceDecidesWhatIsMeant) {
  // Options and their values between the words change nothing, and neither do values that are commands' names.
  EXPECT_EQ(Complete({"evaluate", "--dataset", "train", "--format", "json", "--no-wait", "o"}), "other\n");
  EXPECT_EQ(Complete({"evaluate", "--dataset=dataset", "o"}), "other\n");
  // Where files belong, nothing is offered, so that the shell offers files; also after a "--".
  EXPECT_EQ(Complete({"classify", "m", ""}), "");
  EXPECT_EQ(Complete({"classify", "m", "a.jpg", ""}), "");
  EXPECT_EQ(Complete({"classify", "--", "o"}), "other\n");
  EXPECT_EQ(Complete({"dataset", "upload", "d", ""}), "");
  EXPECT_EQ(Complete({"dataset", "show", "pets", ""}), "");
  EXPECT_EQ(Complete({"nonsense", "--nonsense", "--no"}), "");
}

TEST_F(CompletionTest, WithoutAServerNothingIsOfferedAndNothingSaid) {
  out_.str("");
  EXPECT_EQ(RunCli({"__complete", "--", "--server=127.0.0.1:1", "dataset", "show", ""}, &out_, &err_, false, false), 0);
  EXPECT_EQ(out_.str() + err_.str(), "");
}

}  // namespace
}  // namespace graft
